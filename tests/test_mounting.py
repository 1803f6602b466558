"""The library mounted in somebody else's Flask application."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

from library_server import init_app
from library_server.extensions import db
from tests.conftest import QUIET, SECRET, Servers, bearer


@pytest.fixture
def host(database_url: str) -> Flask:
    """An application with a database, error pages and routes of its own, some of them close to ours."""
    app = Flask("host")
    app.config["SQLALCHEMY_DATABASE_URI"] = database_url.replace("postgresql://", "postgresql+psycopg2://")
    app.config["SECRET_KEY"] = "the host's own"
    SQLAlchemy(app)
    app.add_url_rule("/health", view_func=lambda: "the host is well", endpoint="health")
    app.add_url_rule("/content/special", view_func=lambda: "the host's content", endpoint="special")
    app.add_url_rule("/content/subjects", view_func=lambda: "the host's subjects", endpoint="subjects")
    app.add_url_rule("/contents", view_func=lambda: "the host's contents", endpoint="contents")
    app.add_url_rule("/fails", view_func=lambda: 1 / 0, endpoint="fails")
    app.register_error_handler(404, lambda error: ("the host's own 404", 404))
    app.register_error_handler(500, lambda error: ("the host's own 500", 500))
    app.register_error_handler(Exception, lambda error: ("the host's own handler", 500))
    return app


@pytest.fixture
def mounted(host: Flask, database_url: str, servers: Servers, redis: Any, tmp_path: Any) -> Iterator[Flask]:
    settings = {
        "APP_ENV": "testing",
        "SECRET_KEY": SECRET,
        "DATABASE_URL": database_url,
        "REDIS_URL": servers.redis_url,
        **{f"{name}_STORAGE_PATH": str(tmp_path) for name in ("CONTENT", "ASSETS", "UPLOADS")},
    }
    init_app(host, settings | QUIET)
    yield host
    with host.app_context():
        db.engine.dispose()
        host.extensions["sqlalchemy"].engine.dispose()


@pytest.fixture
def client(mounted: Flask) -> FlaskClient:
    return mounted.test_client()


def test_the_library_answers_below_its_prefixes(client: FlaskClient, as_parent: dict[str, str]) -> None:
    draft = {"content_type": "story", "subject_area": "math", "age_range": "3-5"}
    created = client.post("/content/", json=draft, headers=as_parent)
    assert created.status_code == 201
    assert client.get(created.headers["Location"], headers=as_parent).json["content"]["subject_area"] == "math"
    assert client.get("/api/content/health").json["status"] == "healthy"
    assert "/content/{item_id}" in client.get("/api/content/openapi.json").json["paths"]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/health", "the host is well"),
        ("/content/special", "the host's content"),
        ("/content/subjects", "the host's subjects"),
        ("/contents", "the host's contents"),
        ("/nowhere", "the host's own 404"),
        ("/health/live", "the host's own 404"),
        ("/contents/7", "the host's own 404"),
        ("/fails", "the host's own handler"),
    ],
)
def test_the_hosts_routes_and_pages_stay(client: FlaskClient, path: str, answer: str) -> None:
    assert client.get(path).text == answer


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/content/7", 404, "Content not found"),
        ("GET", "/api/content/nowhere", 404, "Not found"),
        ("DELETE", "/content", 405, "Method not allowed"),
        ("POST", "/content", 400, "Request must be JSON"),
    ],
)
def test_errors_below_the_prefixes_are_json(
    client: FlaskClient, as_parent: dict[str, str], method: str, path: str, status: int, message: str
) -> None:
    answer = client.open(path, method=method, headers=as_parent)
    assert (answer.status_code, answer.json["message"]) == (status, message)


def test_no_setting_of_the_host_changes(host: Flask, database_url: str, servers: Servers) -> None:
    before, theirs = dict(host.config), host.extensions["sqlalchemy"]
    settings = {"DATABASE_URL": database_url, "REDIS_URL": servers.redis_url, "SECRET_KEY": SECRET}
    init_app(host, settings | QUIET)
    assert dict(host.config) == before
    assert host.extensions["sqlalchemy"] is theirs
    assert "library" not in host.cli.commands


def test_the_hosts_database_can_come_after_us(database_url: str, servers: Servers) -> None:
    host = Flask("host")
    init_app(host, {"DATABASE_URL": database_url, "REDIS_URL": servers.redis_url, "SECRET_KEY": SECRET, **QUIET})
    host.config["SQLALCHEMY_DATABASE_URI"] = "postgresql+psycopg2://nobody@127.0.0.1:1/none"
    theirs = SQLAlchemy(host)
    with host.app_context():
        assert theirs.engine.url != db.engine.url
        assert db.session.scalar(text("SELECT 1")) == 1


def test_the_hosts_hooks_see_our_requests(mounted: Flask, as_parent: dict[str, str]) -> None:
    seen: list[str] = []
    mounted.before_request_funcs.setdefault(None, []).append(lambda: seen.append(request.path))
    mounted.test_client().get("/content", headers=as_parent)
    assert seen == ["/content"]


def test_two_applications_live_in_one_process(
    mounted: Flask, parent: int, make_app: Callable[..., Flask], migrated: Callable[[str], str]
) -> None:
    other = make_app(migrated("empty"))
    nobody = other.test_client().get("/content", headers=bearer(id=parent, type="parent"))
    assert nobody.json == {"message": "User not found"}
    assert mounted.test_client().get("/content", headers=bearer(id=parent, type="parent")).status_code == 200
    with other.app_context():
        db.engine.dispose()
