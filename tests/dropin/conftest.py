"""Both services behind the guide's nginx: the Library Server beside the backend, or mounted inside it."""

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import redis as redis_py
import requests
from flask import Flask
from werkzeug.security import generate_password_hash

from tests.conftest import SECRET, Servers, run_sql
from tests.nginx import servers as run
from tests.nginx.servers import PROJECT, Server

EMAIL, PASSWORD, CHILD = "test@example.com", "password", "Mia"  # the first two are the guide's own
TREE = {
    "content": {
        **{"audio/empty.mp3": 0, "audio/one byte.mp3": 1, "audio/Bär & Löwe.mp3": 4097, "video/film.mp4": 1_500_000},
        **{"images/lesson picture.png": 70_000, "documents/deep/er/notes.txt": 333},
    },
    "assets": {"images/logo.svg": 900, "icons/a+b.png": 1024, "themes/dark.css": 5000},
}


@dataclass(frozen=True)
class Site:
    """Where everything listens, and what both services share."""

    nginx: Server
    backend: Server
    library: Server
    mounted: bool
    data: Path
    sql: Callable[..., list[dict[str, Any]]]
    redis: redis_py.Redis
    child: int

    def login(self, kind: str = "parent", dialect: str = "backend") -> dict[str, str]:
        """The header of a token that the backend gave out, through nginx."""
        said = {"email": EMAIL, "password": PASSWORD, "name": CHILD}
        answer = requests.post(f"{self.nginx.url}/{kind}/login?dialect={dialect}", json=said, timeout=10)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def ask(self, target: str, headers: dict[str, str], method: str = "GET", **more: Any) -> requests.Response:
        """The answer through nginx, whatever it is; redirects are not followed."""
        url = self.nginx.url + target
        return requests.request(method, url, headers=headers, timeout=20, allow_redirects=False, **more)

    def lesson(self, **values: str) -> int:
        """The id of an item that the backend made by itself, in the course of a lesson."""
        answer = requests.post(f"{self.nginx.url}/lesson/{self.child}", json=values, timeout=20)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["content_id"])


@pytest.fixture(scope="module", params=["beside", "mounted"])
def site(
    request: pytest.FixtureRequest,
    servers: Servers,
    create_database: Callable[..., str],
    make_app: Callable[..., Flask],
) -> Iterator[Site]:
    """The backend's own database, with a family in it, migrated; an empty Redis; a folder of files."""
    run.find_nginx()
    mounted = request.param == "mounted"
    url = create_database("backend")
    child = _family(partial(run_sql, url))
    with make_app(url).app_context():
        flask_migrate.upgrade()
    with (
        ExitStack() as stack,
        redis_py.Redis.from_url(servers.redis_url) as redis,
        tempfile.TemporaryDirectory(prefix="library-dropin-", dir="/tmp") as folder,
    ):
        redis.flushdb()
        data = Path(folder)
        fill(data)
        settings = settings_of(data, url, servers.redis_url)
        backend = stack.enter_context(serve_backend(settings, data, mounted))
        library = backend if mounted else stack.enter_context(run.gunicorn(settings | {"WORKERS": "2"}, data))
        nginx = stack.enter_context(run.nginx(run.guide_config(library.port, backend.port), data))
        yield Site(nginx, backend, library, mounted, data, partial(run_sql, url), redis, child)


def serve_backend(settings: dict[str, str], folder: Path, mounted: bool = False) -> Any:
    """The backend, as gunicorn serves whoever has no settings file."""
    more = {"PYTHONPATH": str(PROJECT)} | ({"MOUNT_LIBRARY": "yes"} if mounted else {})
    app = "tests.dropin.backend:create_backend()"
    return run.gunicorn(settings | more, folder, "--workers=2", "--threads=4", "--no-control-socket", app)


def settings_of(data: Path, database_url: str, redis_url: str) -> dict[str, str]:
    """The environment that both services share."""
    return {
        "APP_ENV": "testing",
        "SECRET_KEY": SECRET,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "CONTENT_STORAGE_PATH": str(data / "content"),
        "ASSETS_STORAGE_PATH": str(data / "assets"),
        "UPLOADS_STORAGE_PATH": str(data / "uploads"),
        "CACHE_POLL_SECONDS": "0.25",
        "GRACEFUL_TIMEOUT": "5",
    }


def fill(data: Path) -> None:
    """The stored files, each of other bytes."""
    for kind, files in TREE.items():
        for name, size in files.items():
            path = data / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(random.Random(name).randbytes(size))


def _family(sql: Callable[..., Any]) -> int:
    parent = sql(
        "INSERT INTO parent (uuid, name, email, password_hash) VALUES (gen_random_uuid(), 'Pat', %s, %s) RETURNING id",
        (EMAIL, generate_password_hash(PASSWORD, "pbkdf2:sha256:1000")),
    )[0]["id"]
    statement = "INSERT INTO child (uuid, parent_id, name, age) VALUES (gen_random_uuid(), %s, %s, 6) RETURNING id"
    return int(sql(statement, (parent, CHILD))[0]["id"])
