"""Real servers, migrated databases in the shapes found in the field, and the people who call."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flask_migrate
import jwt
import psycopg2
import pytest
import redis as redis_py
from flask import Flask
from flask.testing import FlaskClient
from psycopg2.extras import RealDictCursor
from sqlalchemy import event, make_url

from library_server import create_app
from library_server.catalog.models import ContentItem
from library_server.dev import embedded
from library_server.extensions import db
from library_server.shared import gate
from library_server.shared import redis as shared_redis

SECRET = "a-secret-of-the-tests-that-is-long-enough"
# What tests write past the server shows at once, and nothing happens behind their back.
QUIET = {"CACHE_TTL": 0, "CACHE_POLL_SECONDS": 0, "USAGE_FLUSH_SECONDS": 0}
KEPT_HOUSE = {"CACHE_POLL_SECONDS", "USAGE_FLUSH_SECONDS"}  # a test that sets one of them wants the thread
LIMITS = ("DEFAULT", "SEARCH", "UPLOAD", "FILES", "ANONYMOUS")
SCHEMAS = Path(embedded.__file__).parent / "schema"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--lane", action="store_true", help="have every answer that can be cached given by the fast lane, where it may"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items if config.getoption("lane") else ():
        if item.get_closest_marker("cold"):
            item.add_marker(pytest.mark.skip("a test of what is cold"))


class WarmedClient(FlaskClient):
    """Before each GET the same HEAD, in a new generation: so the lane has what it needs, and nothing older."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("method") == "GET" and "Authorization" in (kwargs.get("headers") or {}):
            self.application.extensions["library_redis"].forget()
            super().open(*args, **kwargs | {"method": "HEAD"})
        return super().open(*args, **kwargs)


@dataclass(frozen=True)
class Servers:
    """A PostgreSQL (the URL of some database in it) and a Redis that hold nothing but what tests write."""

    database_url: str
    redis_url: str


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """That this machine is busy is no outage of Redis, but in tests of outages."""
    if request.node.get_closest_marker("impatient"):
        return
    monkeypatch.setattr(gate, "TIMEOUT_SECONDS", 5)
    monkeypatch.setattr(shared_redis, "LONG_SECONDS", 5)


@pytest.fixture(scope="session")
def servers(worker_id: str) -> Iterator[Servers]:
    """TEST_DATABASE_URL and TEST_REDIS_URL where they are set, else servers of our own."""
    given_database, given_redis = os.environ.get("TEST_DATABASE_URL"), os.environ.get("TEST_REDIS_URL")
    with ExitStack() as stack:
        # Not in pytest's own folder: another run closes that to the user that PostgreSQL runs as under root.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="library-tests-")))
        if given_database is None:
            given_database = stack.enter_context(embedded.postgres(folder, durable=False)).url
        if given_redis is None:
            given_redis = stack.enter_context(embedded.redis(folder)).url
        elif worker_id != "master":  # every worker has a database of its own
            given_redis = f"{given_redis.rstrip('/').removesuffix('/0')}/{int(worker_id.removeprefix('gw')) + 1}"
        yield Servers(given_database, given_redis)


@pytest.fixture(scope="session")
def create_database(servers: Servers, worker_id: str) -> Iterator[Callable[..., str]]:
    """``create_database("guide")`` makes a database of that shape (or ``backend``, ``empty``) and returns its URL."""
    made: list[str] = []

    def create(shape: str) -> str:
        name = f"library_test_{worker_id}_{os.getpid()}_{len(made)}"
        _administer(servers.database_url, f'CREATE DATABASE "{name}"')
        made.append(name)
        url = make_url(servers.database_url).set(drivername="postgresql", database=name)
        rendered = url.render_as_string(hide_password=False)
        if shape != "empty":
            run_sql(rendered, (SCHEMAS / f"{shape}.sql").read_text())
        return rendered

    yield create
    for connection in _CONNECTIONS.values():
        connection.close()
    for name in made:
        _administer(servers.database_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def make_app(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Callable[..., Flask]:
    """``make_app(database_url, NAME=value…)``: an application with the tests' settings."""
    folder = tmp_path_factory.mktemp("data")

    def make(database_url: str, **settings: object) -> Flask:
        defaults = {
            "APP_ENV": "testing",
            "SECRET_KEY": SECRET,
            "DATABASE_URL": database_url,
            "REDIS_URL": servers.redis_url,
            "CONTENT_STORAGE_PATH": str(folder / "content"),
            "ASSETS_STORAGE_PATH": str(folder / "assets"),
            "UPLOADS_STORAGE_PATH": str(folder / "uploads"),
            **QUIET,
            **{f"RATE_LIMIT_{name}": "1000000 per minute" for name in LIMITS},
        }
        lane = pytestconfig.getoption("lane")
        app = create_app(defaults | ({"CACHE_TTL": 3600} if lane else {}) | settings)
        if lane:
            app.test_client_class = WarmedClient
        if not KEPT_HOUSE & settings.keys():
            app.extensions["library_housekeeper"] = os.getpid()  # so nobody else begins to
        return app

    return make


@pytest.fixture(scope="session")
def migrated(create_database: Callable[..., str], make_app: Callable[..., Flask]) -> Callable[[str], str]:
    """``migrated("guide")``: the URL of a database of that shape, migrated to head; one a shape and session."""
    urls: dict[str, str] = {}

    def get(shape: str) -> str:
        if shape not in urls:
            urls[shape] = create_database(shape)
            with make_app(urls[shape]).app_context():
                flask_migrate.upgrade()
        return urls[shape]

    return get


@pytest.fixture(params=["guide", "backend"])
def shape(request: pytest.FixtureRequest) -> str:
    """The starting database: what works must work on both."""
    return str(request.param)


@pytest.fixture
def database_url(shape: str, migrated: Callable[[str], str]) -> str:
    """A migrated database with empty tables."""
    url = migrated(shape)
    truncate_all(url)
    return url


@pytest.fixture
def redis(servers: Servers) -> Iterator[redis_py.Redis]:
    """The Redis, empty."""
    with redis_py.Redis.from_url(servers.redis_url) as client:
        client.flushdb()
        yield client


@pytest.fixture
def app(database_url: str, redis: redis_py.Redis, make_app: Callable[..., Flask]) -> Iterator[Flask]:
    """The application on empty tables and an empty Redis."""
    made = make_app(database_url)
    yield made
    with made.app_context():
        db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client that is not signed in."""
    return app.test_client()


@pytest.fixture
def sql(database_url: str) -> Callable[..., list[dict[str, Any]]]:
    """``sql("SELECT …", (parameters,))``: runs a statement past the application, and returns its rows."""
    return lambda statement, parameters=None: run_sql(database_url, statement, parameters)


@pytest.fixture
def parent(sql: Callable[..., Any]) -> int:
    """The id of a parent."""
    return make_parent(sql)


@pytest.fixture
def child(sql: Callable[..., Any], parent: int) -> int:
    """The id of a child of `parent`."""
    return make_child(sql, parent)


@pytest.fixture
def as_parent(parent: int) -> dict[str, str]:
    """Headers of a signed-in parent, who is an editor while CONTENT_EDITORS is empty."""
    return bearer(user_id=parent, user_type="parent")


@pytest.fixture
def as_child(child: int) -> dict[str, str]:
    """Headers of a signed-in child."""
    return bearer(user_id=child, user_type="child")


@pytest.fixture
def make_item(app: Flask) -> Callable[..., int]:
    """``make_item(title="…")``: adds a row with these columns and returns its id."""

    def make(**values: Any) -> int:
        defaults = {"content_type": "story", "subject_area": "math", "age_range": "3-5", "title": "A story"}
        with app.app_context():
            item = ContentItem(**defaults | values)
            db.session.add(item)
            db.session.commit()
            return item.id

    return make


@pytest.fixture
def statements(app: Flask) -> Iterator[list[str]]:
    """Every statement that the application sends to PostgreSQL from now on."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def bearer(secret: str = SECRET, **claims: Any) -> dict[str, str]:
    """The header of a token with these claims, valid for five minutes unless they say otherwise."""
    now = int(time.time())
    return {"Authorization": f"Bearer {jwt.encode({'iat': now, 'exp': now + 300} | claims, secret, 'HS256')}"}


def make_parent(sql: Callable[..., Any], email: str | None = None) -> int:
    """Adds a parent and returns the id."""
    return int(
        sql(
            "INSERT INTO parent (uuid, name, email, password_hash) "
            "VALUES (gen_random_uuid(), 'Pat', coalesce(%s, gen_random_uuid()::text || '@example.org'), 'x') "
            "RETURNING id",
            (email,),
        )[0]["id"]
    )


def make_child(sql: Callable[..., Any], parent: int, age: int = 5) -> int:
    """Adds a child of `parent` and returns the id."""
    return int(
        sql(
            "INSERT INTO child (uuid, parent_id, name, age) VALUES (gen_random_uuid(), %s, 'Kim', %s) RETURNING id",
            (parent, age),
        )[0]["id"]
    )


_CONNECTIONS: dict[str, Any] = {}


def run_sql(url: str, statement: str, parameters: Any = None) -> list[dict[str, Any]]:
    """Runs a statement on a connection that is not the application's, commits, and returns the rows it gives."""
    connection = _CONNECTIONS.get(url)
    if connection is None or connection.closed:
        connection = _CONNECTIONS[url] = psycopg2.connect(url)
        connection.autocommit = True
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement, parameters)
        return [dict(row) for row in cursor.fetchall()] if cursor.description else []


# To delete a few rows is quicker than to truncate a table. Whoever refers to others goes first, notes of triggers last.
# An application that has not ended yet may be folding counts, which takes the first lock and then reads other tables.
_EMPTY_TABLES = """
DO $$
DECLARE
  one record;
  many boolean;
  referred text[] := ARRAY[
    'learning_sessions', 'child', 'content_library', 'parent', 'library_change', 'library_moved'];
BEGIN
  IF to_regclass('library_stretch') IS NOT NULL THEN
    LOCK TABLE library_stretch IN SHARE ROW EXCLUSIVE MODE;
  END IF;
  FOR one IN SELECT tablename AS name FROM pg_tables
             WHERE schemaname = 'public' AND tablename <> 'library_alembic_version'
             ORDER BY coalesce(array_position(referred, tablename::text), 0) LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %I OFFSET 1000)', one.name) INTO many;
    EXECUTE format(CASE WHEN many THEN 'TRUNCATE %I CASCADE' ELSE 'DELETE FROM %I' END, one.name);
  END LOOP;
  PERFORM setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace;
END $$
"""


def truncate_all(url: str) -> None:
    """Empties every table but the migrations' own, and starts their numbers anew."""
    run_sql(url, _EMPTY_TABLES)


def _administer(url: str, statement: str) -> None:
    connection = psycopg2.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
    connection.autocommit = True  # CREATE DATABASE runs in no transaction
    try:
        connection.cursor().execute(statement)
    finally:
        connection.close()
