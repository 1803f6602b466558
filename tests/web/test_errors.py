"""Every error of every route is JSON that tells a client what to do, and tells nobody what we are made of."""

import logging
import time

import pytest
from flask import Blueprint, Flask, abort
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, ProgrammingError

from library_server.errors import FieldProblem, InvalidInput, LibraryError, Unavailable
from library_server.extensions import db
from library_server.web.errors import handle_errors_of

UNAVAILABLE = "The library is unavailable for the moment. Please try again."
WENT_WRONG = {"message": "Something went wrong on our side"}
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
one_shape = pytest.mark.parametrize("shape", ["guide"])


@one_shape
def test_what_is_not_there_is_404_in_json(client, as_parent):
    for path in (
        "/",
        "/nothing",
        "/contents",
        "/api",
        "/api/content/nothing",
        "/favicon.ico",
        "/%00",
        "/a%2f..%2fb",
        "/é",
    ):
        for headers in ({}, as_parent):
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                response = client.open(path, method=method, headers=headers)
                assert (path, method, response.status_code) == (path, method, 404)
                assert (response.mimetype, response.get_json()) == ("application/json", {"message": "Not found"})


@one_shape
def test_an_error_to_head_has_no_body(client):
    response = client.head("/nothing")
    assert (response.status_code, response.mimetype, response.get_data()) == (404, "application/json", b"")


@one_shape
def test_another_method_is_405_and_told_which_are_allowed(client, as_parent):
    allowed = {
        "/content": {"GET", "HEAD", "OPTIONS", "POST"},
        "/content/1": {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"},
        "/api/content/openapi.json": {"GET", "HEAD", "OPTIONS"},
        "/api/content/docs": {"GET", "HEAD", "OPTIONS"},
        "/health": {"GET", "HEAD", "OPTIONS"},
        "/api/content/health/live": {"GET", "HEAD", "OPTIONS"},
    }
    for path, methods in allowed.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "NONSENSE"} - methods:
            for slash in ("", "/"):
                response = client.open(path + slash, method=method, headers=as_parent)
                assert (path, method, response.status_code) == (path, method, 405)
                assert response.get_json() == {"message": "Method not allowed"}
                assert {word.strip() for word in response.headers["Allow"].split(",")} == methods


@one_shape
def test_options_says_what_is_allowed(client):
    response = client.options("/content/1")
    assert response.status_code == 200
    assert "PATCH" in response.headers["Allow"]


@one_shape
def test_errors_may_not_be_kept_nor_taken_for_a_page(client, as_parent):
    for path, headers in (
        ("/nothing", {}),
        ("/content", {}),
        ("/content/999", as_parent),
        ("/content?page=0", as_parent),
    ):
        response = client.get(path, headers=headers)
        assert response.status_code >= 400
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert response.headers["Referrer-Policy"] == "no-referrer"


@one_shape
def test_a_body_beyond_the_limit_is_413(client, as_parent):
    body = b"x" * (8 * 1024 * 1024 + 1)
    response = client.post("/content", data=body, content_type="application/json", headers=as_parent)
    assert (response.status_code, response.get_json()) == (413, {"message": "Request body too large"})


@pytest.mark.parametrize("debugging", [{}, {"TESTING": True}, {"DEBUG": True}], ids=["production", "testing", "debug"])
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("SELECT password_hash FROM parent; /srv/library_server/secret.py"),
        KeyError("password_hash"),
        ProgrammingError("SELECT password_hash FROM parent", {"id": 1}, Exception("relation does not exist")),
        RecursionError("/srv/library_server/secret.py"),
        UnicodeEncodeError("utf-8", "/srv/\ud800", 0, 1, "surrogates"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_bug_is_500_without_stack_sql_or_path_and_is_logged(caplog, error, debugging):
    def fail():
        raise error

    with caplog.at_level(logging.ERROR):
        response = _throw_away_app(fail, debugging).get("/fail")
    assert (response.status_code, response.mimetype) == (500, "application/json")
    assert response.get_json() == WENT_WRONG
    assert ", in fail\n" in caplog.text


def test_the_values_of_a_failed_statement_do_not_reach_the_log(caplog):
    error = ProgrammingError("SELECT 'x@example.org'", {"name": "Kim"}, Exception("near 'y@example.org'"))

    def fail():
        raise error

    assert _throw_away_app(fail).get("/fail").get_json() == WENT_WRONG
    assert "example.org" not in caplog.text
    assert "Kim" not in caplog.text


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (400, "Bad request"),
        (404, "Not found"),
        (405, "Method not allowed"),
        (406, "Not acceptable"),
        (410, "Gone"),
        (413, "Request body too large"),
        (415, "Unsupported media type"),
        (418, "I'm a teapot"),
        (429, "Too many requests"),
        (500, "Something went wrong on our side"),
        (501, "Not implemented"),
    ],
)
def test_an_error_of_werkzeug_is_json_in_a_sentence_of_ours(code, message):
    response = _throw_away_app(lambda: abort(code)).get("/fail")
    assert (response.status_code, response.mimetype) == (code, "application/json")
    assert response.get_json() == {"message": message}


def test_the_description_that_werkzeug_gives_is_kept_from_clients():
    response = _throw_away_app(lambda: abort(400, "SELECT * FROM parent; /srv/secret")).get("/fail")
    assert response.get_json() == {"message": "Bad request"}


def test_an_error_of_ours_tells_its_fields_and_headers():
    problems = [FieldProblem("title", "is odd"), FieldProblem("age_range", "must be one of 3-5")]

    def invalid():
        raise InvalidInput("title is odd", problems)

    response = _throw_away_app(invalid).get("/fail")
    assert response.status_code == 400
    assert response.get_json() == {
        "message": "title is odd",
        "errors": [{"field": "title", "message": "is odd"}, {"field": "age_range", "message": "must be one of 3-5"}],
    }

    def unavailable():
        raise Unavailable

    response = _throw_away_app(unavailable).get("/fail")
    assert (response.status_code, response.get_json()) == (503, {"message": UNAVAILABLE})
    assert int(response.headers["Retry-After"]) > 0


def test_every_error_class_of_ours_has_a_status_and_a_sentence():
    classes = list(_subclasses(LibraryError))
    assert len(classes) > 10
    for error in classes:
        assert 400 <= error.status < 600
        assert error.message and error.message[0].isupper()


def test_a_lost_connection_is_503_and_its_reason_stays_with_us(caplog):
    def fail():
        raise OperationalError("SELECT secret", {}, Exception("could not connect to 10.0.0.5, password wrong"))

    response = _throw_away_app(fail).get("/fail")
    assert (response.status_code, response.get_json()) == (503, {"message": UNAVAILABLE})
    assert "secret" not in caplog.text
    assert "password" not in caplog.text


def test_errors_of_others_in_the_same_application_stay_theirs():
    app = Flask("host")
    app.register_blueprint(_library(lambda: abort(404)))
    app.errorhandler(404)(lambda error: ("the host's own page", 404))

    @app.get("/host")
    def host():
        abort(404)

    assert app.test_client().get("/host").get_data() == b"the host's own page"
    assert app.test_client().get("/fail").get_json() == {"message": "Not found"}


@one_shape
def test_without_postgresql_every_route_of_the_catalogue_is_503_at_once(make_app, redis, as_parent, as_child):
    client = make_app(NOWHERE).test_client()
    item = {"content_type": "story", "subject_area": "math", "age_range": "3-5"}
    for method, path, body in (
        ("GET", "/content", None),
        ("GET", "/content/1", None),
        ("GET", "/content/subjects", None),
        ("POST", "/content", item),
        ("PUT", "/content/1", item),
        ("PATCH", "/content/1", {"title": "x"}),
        ("DELETE", "/content/1", None),
        ("DELETE", "/content/1?purge=true", None),
    ):
        started = time.perf_counter()
        response = client.open(path, method=method, json=body, headers=as_parent)
        assert time.perf_counter() - started < 1
        assert (method, path, response.status_code) == (method, path, 503)
        told = {"message": UNAVAILABLE, "request_id": response.headers["X-Request-ID"]}
        assert (response.mimetype, response.get_json()) == ("application/json", told)
        assert 0 < int(response.headers["Retry-After"]) <= 60


@one_shape
def test_a_postgresql_that_may_only_be_read_is_503_to_who_writes(make_app, database_url, redis, as_parent):
    read_only = make_url(database_url).update_query_dict({"options": "-c default_transaction_read_only=on"})
    readers = make_app(read_only.render_as_string(hide_password=False)).test_client()
    assert readers.get("/content", headers=as_parent).status_code == 200
    item = {"content_type": "story", "subject_area": "math", "age_range": "3-5", "title": "A story"}
    response = readers.post("/content", json=item, headers=as_parent)
    assert (response.status_code, response.get_json()["message"]) == (503, UNAVAILABLE)
    assert "Retry-After" in response.headers


@one_shape
def test_without_postgresql_a_user_who_is_remembered_still_gets_503_and_not_401(client, make_app, as_parent, make_item):
    make_item()
    assert client.get("/content", headers=as_parent).status_code == 200
    away = make_app(NOWHERE).test_client()
    assert away.get("/content?page=2", headers=as_parent).status_code == 503
    assert away.get("/content?page=0", headers=as_parent).status_code == 400
    assert away.get("/content").status_code == 401
    assert away.get("/health/live").status_code == 200


@one_shape
def test_a_connection_that_postgresql_has_closed_costs_nobody_an_error(client, as_parent, make_item, sql):
    make_item()
    assert client.get("/content", headers=as_parent).status_code == 200
    for path in ("/content/1", "/content?page=1&per_page=3", "/content/subjects"):
        sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'library-server'")
        assert client.get(path, headers=as_parent).status_code == 200


@one_shape
def test_a_postgresql_whose_host_has_vanished_is_given_up(app):
    """Nobody closes the connection then; after half a minute the kernel does."""
    with app.app_context():
        told = db.session.connection().connection.dbapi_connection.get_dsn_parameters()
        db.session.rollback()
    idle, between, tries = (int(told[f"keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert idle + between * tries <= 30
    assert 0 < int(told["tcp_user_timeout"]) <= 30_000


@one_shape
def test_a_request_that_failed_leaves_nothing_behind_for_the_next(app, client, as_parent, make_item, sql):
    item = make_item(title="Before")

    @app.post("/fail-halfway")
    def fail_halfway():
        db.session.execute(text("UPDATE content_library SET title = 'Halfway'"))
        raise RuntimeError

    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert client.post("/fail-halfway").status_code == 500
    assert client.get(f"/content/{item}", headers=as_parent).get_json()["content"]["title"] == "Before"
    assert sql("SELECT title FROM content_library") == [{"title": "Before"}]


def _library(view):
    blueprint = Blueprint("library", __name__)
    handle_errors_of(blueprint)
    blueprint.add_url_rule("/fail", view_func=view, endpoint="fail")
    return blueprint


def _throw_away_app(view, config=()):
    """A client of an application whose one view fails, below the error handling that our routes have."""
    app = Flask("throw-away")
    app.config.update(config)
    app.register_blueprint(_library(view))
    return app.test_client()


def _subclasses(error):
    for subclass in error.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
