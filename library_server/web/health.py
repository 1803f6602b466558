"""Whether this server is alive, and whether it can do its work. It is for anyone, so it names no reason."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from flask import Flask, Response, current_app
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from library_server.extensions import REPLICA, db
from library_server.shared.gate import RedisAway
from library_server.shared.redis import redis
from library_server.shared.schema import VERSION_TABLE
from library_server.storage.trials import try_reading, try_writing
from library_server.web.blueprints import LibraryBlueprint
from library_server.web.openapi import document
from library_server.web.probes import OK, Probe
from library_server.web.responses import json_response

SERVICE = "library-server"
LONGEST_SECONDS = 2.0  # for all checks together
REMEMBER_SERVERS_SECONDS, REMEMBER_FOLDERS_SECONDS = 0.5, 10.0
AWAY, UNUSABLE, BEHIND, AHEAD = "away", "unusable", "behind", "ahead"
NEEDED = ("database",)  # without it hardly a request can be answered; without the others most can

_REVISION = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 (a name of ours)


class Check(BaseModel):
    """One thing that we stand on: `ok`, or what is wrong in a word."""

    status: str = Field(examples=[OK, AWAY])
    milliseconds: float = Field(examples=[0.8])


class Health(BaseModel):
    """`healthy`; `degraded` when something fails (200); `unhealthy` without PostgreSQL (503)."""

    status: str = Field(examples=["healthy", "unhealthy"])
    service: str = Field(examples=[SERVICE])
    checks: dict[str, Check] = Field(
        examples=[{"database": {"status": status, "milliseconds": 0.8}} for status in (OK, AWAY)]
    )


class Alive(BaseModel):
    """The process answers."""

    status: str = Field(examples=["healthy"])
    service: str = Field(examples=[SERVICE])


def bind(app: Flask, migrations: Path) -> None:
    """Prepares the checks of `app`. Where there are no scripts in `migrations`, they are done without."""
    config = app.extensions["library_config"]
    checks: dict[str, tuple[Callable[[], str], float]] = {
        "database": (_ask_database, REMEMBER_SERVERS_SECONDS),
        "redis": (_ask_redis, REMEMBER_SERVERS_SECONDS),
        "content": (partial(_try, try_writing, config.content_storage_path), REMEMBER_FOLDERS_SECONDS),
        "uploads": (partial(_try, try_writing, config.uploads_storage_path), REMEMBER_FOLDERS_SECONDS),
        "assets": (partial(_try, try_reading, config.assets_storage_path), REMEMBER_FOLDERS_SECONDS),
    }
    if config.database_read_url:
        checks["replica"] = (partial(_ask_database, REPLICA), REMEMBER_SERVERS_SECONDS)
    if (migrations / "env.py").is_file():
        checks["migrations"] = (partial(_compare_revisions, migrations), REMEMBER_FOLDERS_SECONDS)
    app.extensions["library_probes"] = {name: Probe(*check) for name, check in checks.items()}


def live() -> Response:
    """Whether the process answers; it asks nobody else."""
    return json_response({"status": "healthy", "service": SERVICE})


def ready() -> Response:
    """Whether what we stand on is there. 503 only without PostgreSQL."""
    probes: dict[str, Probe] = current_app.extensions["library_probes"]
    for probe in probes.values():
        probe.start(current_app._get_current_object())  # type: ignore[attr-defined]
    found = {name: probe.found(LONGEST_SECONDS) for name, probe in probes.items()}
    if any(found[name].status != OK for name in NEEDED):
        status = "unhealthy"
    else:
        status = "healthy" if all(one.status in (OK, AHEAD) for one in found.values()) else "degraded"
    code = 503 if status == "unhealthy" else 200
    checks = {name: {"status": one.status, "milliseconds": round(one.seconds * 1000, 1)} for name, one in found.items()}
    headers = {"Retry-After": "5"} if code == 503 else {}
    return json_response({"status": status, "service": SERVICE, "checks": checks}, code, headers)


def _ask_database(name: str | None = None) -> str:
    try:
        with db.engines[name].connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return AWAY
    return OK


def _ask_redis() -> str:
    try:
        redis.ask(lambda client: client.ping())
    except RedisAway:
        return AWAY
    return OK


def _try(use: Callable[[str], None], folder: str) -> str:
    try:
        use(folder)
    except OSError:
        return UNUSABLE
    return OK


def _compare_revisions(migrations: Path) -> str:
    """`ahead` is a database that a newer release has migrated: what it added does not disturb us."""
    head, known = _revisions(migrations)
    try:
        with db.engine.connect() as connection:
            found = connection.scalar(_REVISION)
    except ProgrammingError:  # there is no such table yet
        return BEHIND
    except SQLAlchemyError:
        return AWAY
    if found == head:
        return OK
    return BEHIND if found is None or found in known else AHEAD


@cache
def _revisions(migrations: Path) -> tuple[str | None, frozenset[str]]:
    """The newest of the scripts, and all; read once a process."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    return scripts.get_current_head(), frozenset(script.revision for script in scripts.walk_revisions())


document(Alive, public=True)(live)
document(Health, public=True, failure=(503, Health))(ready)


def _routes(name: str, prefix: str) -> LibraryBlueprint:
    blueprint = LibraryBlueprint(name, __name__, url_prefix=prefix)
    blueprint.add_url_rule("/health", "health", ready)
    blueprint.add_url_rule("/health/live", "live", live)
    blueprint.add_url_rule("/health/ready", "ready", ready)
    return blueprint


bp = _routes("health", "/api/content")
direct = _routes("direct_health", "")
