"""Each request of ours has an id and a line in the log; a host's requests and its logging are left alone."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from library_server import init_app
from library_server.extensions import db
from library_server.web.logs import JsonLines
from tests.conftest import QUIET, SECRET, Servers

pytestmark = [pytest.mark.parametrize("shape", ["guide"]), pytest.mark.cold]
SANE = ("a", "x" * 64, "Ab9._-", "0f39d04f-9d04-4099-69d5-01f783dc308c")
INSANE = ("", "x" * 65, "a b", "a@example.org", "a/b", "ä", 'a"', "{}", "a,b", "$(x)")


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What our loggers say, as production writes it."""
    said: list[dict[str, Any]] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = JsonLines().format(record)
            assert "\n" not in line
            said.append(json.loads(line))

    listener = Listener()
    logging.getLogger("library_server").addHandler(listener)
    yield said
    logging.getLogger("library_server").removeHandler(listener)


@pytest.fixture
def mishap(sql: Any) -> Iterator[None]:
    """An item that is described as broken cannot be stored, which nobody has foreseen."""
    sql("ALTER TABLE content_library ADD CONSTRAINT whole CHECK (description <> 'broken')")
    yield
    sql("ALTER TABLE content_library DROP CONSTRAINT whole")


BROKEN = {"content_type": "story", "subject_area": "math", "age_range": "3-5", "description": "broken"}


def test_a_sane_id_is_kept_and_another_given_for_any_other(client: FlaskClient) -> None:
    for told in SANE:
        assert client.get("/health/live", headers={"X-Request-ID": told}).headers["X-Request-ID"] == told
    given = [client.get("/health/live", headers={"X-Request-ID": told}).headers["X-Request-ID"] for told in INSANE]
    given.append(client.get("/health/live").headers["X-Request-ID"])
    assert len(set(given)) == len(given)
    assert all(len(told) == 32 for told in given)


def test_every_answer_bears_it(client: FlaskClient, as_parent: Any, make_item: Any, mishap: None) -> None:
    make_item()
    statuses = set()
    for number, (method, path, arguments) in enumerate(
        [
            ("GET", "/content", {}),
            ("GET", "/content", {"headers": {"If-None-Match": "*"}}),
            ("HEAD", "/content/1", {}),
            ("GET", "/content?page=x", {}),
            ("GET", "/content/999", {}),
            ("GET", "/content/audio/none.mp3", {}),
            ("GET", "/nowhere", {}),
            ("DELETE", "/content", {}),
            ("OPTIONS", "/content", {}),
            ("GET", "/api/content/docs/swagger-ui.css", {}),
            ("POST", "/content", {"json": BROKEN}),
        ]
    ):
        known = as_parent | {"X-Request-ID": f"request-{number}"}
        headers = known | arguments.pop("headers", {})
        with client.open(path, method=method, headers=headers, **arguments) as answer:
            assert (path, answer.headers.getlist("X-Request-ID")) == (path, [f"request-{number}"])
            body = answer.get_json(silent=True) or {}
            assert body.get("request_id") == (f"request-{number}" if answer.status_code == 500 else None)
        statuses.add(answer.status_code)
    assert statuses == {200, 304, 400, 404, 405, 500}


def test_what_is_cached_bears_none(
    make_app: Callable[..., Flask], database_url: str, redis: Any, as_parent: Any, make_item: Any
) -> None:
    make_item()
    client = make_app(database_url, CACHE_TTL=600).test_client()
    answers = [client.get("/content", headers=as_parent | {"X-Request-ID": told}) for told in ("first", "second")]
    assert answers[0].data == answers[1].data
    assert not [key for key in redis.keys("search_cache:*") if b"first" in redis.get(key)]


def test_a_line_tells_the_route_and_the_kind_of_user(
    client: FlaskClient, as_parent: Any, as_child: Any, lines: list[dict[str, Any]], make_item: Any
) -> None:
    make_item()
    known = {"X-Request-ID": "the-id"}
    for method, path, headers in (
        ("GET", "/content/1?x=y", as_child),
        ("PATCH", "/content/1/", as_parent),
        ("GET", "/content/1", {}),
        ("HEAD", "/content/1", as_parent),
        ("BREW", "/nowhere/1", {}),
    ):
        client.open(path, method=method, headers=headers | known)
    told = [{name: line[name] for name in ("route", "method", "status", "user")} for line in lines]
    item = "/content/<int:item_id>"
    assert told == [
        {"route": item, "method": "GET", "status": 200, "user": "child"},
        {"route": item, "method": "PATCH", "status": 400, "user": "parent"},
        {"route": item, "method": "GET", "status": 401, "user": "anonymous"},
        {"route": item, "method": "HEAD", "status": 200, "user": "parent"},
        {"route": "unmatched", "method": "OTHER", "status": 404, "user": "anonymous"},
    ]
    names = ["time", "level", "logger", "message", "request_id"]
    names += ["route", "method", "status", "milliseconds", "bytes", "user"]
    assert [list(line) for line in lines] == [names] * 5
    assert {line["request_id"] for line in lines} == {"the-id"}
    assert lines[0]["bytes"] > 100
    assert lines[3]["bytes"] == 0
    assert all(0 < line["milliseconds"] < 10_000 for line in lines)
    assert lines[0]["time"].endswith("+00:00")


def test_a_failure_is_told_once_with_its_stack_and_its_request(
    client: FlaskClient, as_parent: Any, lines: list[dict[str, Any]], mishap: None
) -> None:
    answer = client.post("/content", json=BROKEN, headers=as_parent)
    assert answer.get_json()["message"] == "Something went wrong on our side"
    (failure,) = [line for line in lines if line["level"] == "ERROR"]
    assert failure["request_id"] == answer.get_json()["request_id"] == answer.headers["X-Request-ID"]
    assert ", in create_item\n" in failure["message"]
    assert "CheckViolation 23514" in failure["message"]
    assert "IntegrityError" in failure["message"]
    assert "broken" not in str(lines)


def test_lines_of_others_are_told_without_the_texts_among_their_values(shape: str) -> None:
    def told(message: object, *values: object, name: str = "others", error: Any = None) -> dict[str, Any]:
        record = logging.LogRecord(name, logging.ERROR, "", 0, message, values, error and (None, error, None))
        line = json.loads(JsonLines().format(record))
        assert isinstance(line, dict)
        return line

    assert (
        told("Exception on %s [%s] after %d s", "/content/kim", "GET", 3)["message"] == "Exception on … […] after 3 s"
    )
    assert told("%(who)s did %(n)d", {"who": "Kim", "n": 2})["message"] == "… did 2"
    assert told("%d", "Kim")["message"] == "%d"
    assert told("100 % of", "Kim")["message"] == "100 % of"
    assert told(ValueError("Kim"))["message"] == "ValueError"
    assert told("Exception on %s", "/kim", name="library_server")["message"] == "Exception on …"
    assert told("%s failed", "flush", name="library_server.usage")["message"] == "flush failed"
    stack = told("bad", error=FileNotFoundError(2, "no", "/content/kim"))["stack"]
    assert stack == "FileNotFoundError ENOENT"


def test_a_host_keeps_its_answers_and_its_logging(
    database_url: str, servers: Servers, redis: Any, as_child: Any, lines: list[dict[str, Any]], tmp_path: Any
) -> None:
    host = Flask("host")
    host.add_url_rule("/content/special", view_func=lambda: "the host's", endpoint="special")

    def loggers() -> list[object]:
        names = [None, "host", "werkzeug", "gunicorn.error"]
        return [(*logging.getLogger(name).handlers, logging.getLogger(name).level) for name in names]

    before = loggers()
    settings = {"SECRET_KEY": SECRET, "DATABASE_URL": database_url, "REDIS_URL": servers.redis_url}
    folders = {f"{name}_STORAGE_PATH": str(tmp_path) for name in ("CONTENT", "ASSETS", "UPLOADS")}
    init_app(host, settings | QUIET | folders)  # APP_ENV is production
    assert loggers() == before
    client = host.test_client()
    for path in ("/content/special", "/nowhere", "/metrics"):
        assert "X-Request-ID" not in client.get(path, headers={"X-Request-ID": "x"}).headers
    assert lines == []
    for path in ("/content", "/api/content/nowhere", "/api/content/health"):
        assert client.get(path, headers=as_child | {"X-Request-ID": "x"}).headers["X-Request-ID"] == "x"
    assert [line["route"] for line in lines] == ["/content", "unmatched", "/api/content/health"]
    with host.app_context():
        db.engine.dispose()
