"""Whether this server is alive, and whether it can do its work."""

import time
from collections.abc import Callable
from typing import Any

from flask import Response
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from library_server.extensions import db
from library_server.shared.redis import RedisAway, redis
from library_server.web.blueprints import LibraryBlueprint
from library_server.web.openapi import document
from library_server.web.responses import json_response

SERVICE = "library-server"


class Check(BaseModel):
    """One thing that we stand on."""

    status: str
    milliseconds: float


class Health(BaseModel):
    """`healthy`; `degraded` without Redis (200); `unhealthy` without PostgreSQL (503)."""

    status: str
    service: str
    checks: dict[str, Check]


class Alive(BaseModel):
    """The process answers."""

    status: str
    service: str


def live() -> Response:
    """Whether the process answers; it asks nobody else."""
    return json_response({"status": "healthy", "service": SERVICE})


def ready() -> Response:
    """Whether PostgreSQL and Redis answer. 503 only without PostgreSQL."""
    checks = {"database": _check(_ask_database), "redis": _check(_ask_redis)}
    if checks["database"]["status"] != "ok":
        status = "unhealthy"
    else:
        status = "healthy" if checks["redis"]["status"] == "ok" else "degraded"
    code = 503 if status == "unhealthy" else 200
    headers = {"Retry-After": "5"} if code == 503 else {}
    return json_response({"status": status, "service": SERVICE, "checks": checks}, code, headers)


def _ask_database() -> None:
    db.session.execute(text("SELECT 1"))


def _ask_redis() -> None:
    redis.ask(lambda client: client.ping())


def _check(ask: Callable[[], None]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        ask()
        status = "ok"
    except (SQLAlchemyError, RedisAway):
        status = "away"
    return {"status": status, "milliseconds": round((time.perf_counter() - started) * 1000, 1)}


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
