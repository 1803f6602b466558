"""The fast lane of content files gives what the normal way gives, or nothing."""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from library_server.extensions import db
from library_server.file_lane import FileLane
from library_server.lib import signing
from library_server.web import links
from library_server.web.changes import look_for_changes
from tests.conftest import bearer
from tests.test_lane import ORIGIN, ORIGINS, ask, counted, reset, without_reset

pytestmark = pytest.mark.parametrize("shape", ["guide"])
PATHS = ["video/film.mp4", "audio/Für Elise & 50% + more.mp3", "documents/notes-3f2a9c1e.pdf", "a.txt"]
FILM = PATHS[0]


@pytest.fixture
def start(make_app: Callable[..., Flask], database_url: str, redis: Any) -> Iterator[Callable[..., Flask]]:
    """``start(NAME=value…)``: an application behind nginx, whose lane has begun, with the files of PATHS."""
    made = []

    def get(**settings: object) -> Flask:
        app = make_app(database_url, **{"CACHE_TTL": 3600, "USE_X_ACCEL_REDIRECT": "true"} | settings)
        made.append(app)
        for path in PATHS:
            file = Path(app.extensions["library_config"].content_storage_path) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"bytes")
        return app

    yield get
    for app in made:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each request to which the lane might have an answer, whether it had."""
    taken: list[bool] = []
    answer = FileLane._answer

    def noting(*given: Any) -> bool:
        taken.append(answer(*given))
        return taken[-1]

    monkeypatch.setattr(FileLane, "_answer", noting)
    return taken


def signed(app: Flask, path: str, expires: int | None = None, audience: str = "all") -> str:
    expires = int(time.time()) + 600 if expires is None else expires
    with app.app_context():
        signature = signing.sign(links.link_key(), audience, str(expires), path)
    return f"/content/{quote(path)}?expires={expires}&signature={signature}"


def warmed(app: Flask, path: str = FILM, token: dict[str, str] | None = None) -> str:
    """What the lane answers from now on: it has begun, and it is known that the file is not retired. A link, or for the
    `token`, which has been let in, the address."""
    target = f"/content/{quote(path)}" if token else signed(app, path)
    assert ask(app, target, token or {}).status_code == 200
    return target


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize(
    ("path", "origins", "origin", "address"),
    [
        *((path, "", None, "10.1.2.3") for path in PATHS),
        *((FILM, ORIGIN, origin, "") for origin in ORIGINS),
        (FILM, "", None, "no address"),
    ],
)
def test_a_hit_is_told_alike(
    path: str, origins: str, origin: str | None, address: str, signed_in: bool, start: Any, quickly: Any, redis: Any,
    as_child: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    app, token = start(CORS_ORIGINS=origins), as_child if signed_in else {}
    link = warmed(app, path, token)
    asked = {"X-Request-ID": "one", "X-Real-IP": address} | ({"Origin": origin} if origin else {}) | token
    caplog.set_level(logging.INFO, "library_server.requests")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    told = []
    for way in (app.wsgi_app, app.wsgi_app._normally):  # type: ignore[attr-defined]
        app.wsgi_app = way  # type: ignore[method-assign]
        redis.delete(*redis.keys("rate_limit:*"))
        before = counted(app)
        caplog.clear()
        answer = ask(app, link, asked)
        [line] = [record.library_fields for record in caplog.records if hasattr(record, "library_fields")]
        [key] = redis.keys("rate_limit:*")
        told.append(
            {
                "status": answer.status,
                "headers": sorted(answer.headers.to_wsgi_list()),
                "body": answer.data,
                "line": {name: value for name, value in line.items() if name != "milliseconds"},
                "metrics": {name: value - before.get(name, 0) for name, value in counted(app).items()},
                "limit": (key, redis.hget(key, "count")),
            }
        )
    quick, normal = told
    assert quickly == [True]
    assert reset(quick["headers"]) - reset(normal["headers"]) in (-1, 0, 1)  # the clock of Redis went on
    assert {**quick, "headers": without_reset(quick)} == {**normal, "headers": without_reset(normal)}


def different(app: Flask, link: str, as_child: dict[str, str]) -> dict[str, tuple[str, dict[str, str], str]]:
    """What the lane must leave to the normal way, once everything about the file is in place for it."""
    address, _, query = link.partition("?")
    headers = {name: (link, {name: "bytes=0-1"}, "GET") for name in ("Range", "If-Range", "If-Match", "If-None-Match")}
    dates = {name: (link, {name: "x"}, "GET") for name in ("If-Modified-Since", "If-Unmodified-Since")}
    return {
        **headers,
        **dates,
        "a token and a link": (link, as_child, "GET"),
        "a token and a query": (f"{address}?x=1", as_child, "GET"),
        "a token and a range": (address, as_child | {"Range": "bytes=0-1"}, "GET"),
        "a token not seen before": (address, bearer(user_id=1, user_type="child", jti=secrets.token_hex(8)), "GET"),
        "no token": (address, {"Authorization": "Bearer"}, "GET"),
        "HEAD": (link, {}, "HEAD"),
        "a slash": (link.replace("?", "/?"), {}, "GET"),
        "no link": (address, {}, "GET"),
        "a wrong signature": (link[:-1] + ("1" if link[-1] == "0" else "0"), {}, "GET"),
        "another order": (f"{address}?{'&'.join(reversed(query.split('&')))}", {}, "GET"),
        "more than a link": (f"{link}&x=1", {}, "GET"),
        "another file": (link.replace("film", "none"), {}, "GET"),
        "an old link": (signed(app, FILM, int(time.time()) - 1), {}, "GET"),
        "a link for editors": (signed(app, FILM, audience="editors") + "&audience=editors", {}, "GET"),
        "no file": (signed(app, "video/none.mp4"), {}, "GET"),
        "no type of ours": (signed(app, "video/film.exe"), {}, "GET"),
        "out of the folder": (signed(app, "video/../video/film.mp4"), {}, "GET"),
        "no UTF-8": (link.replace("film", "%ff"), {}, "GET"),
    }


def test_what_is_not_a_good_link_to_a_whole_file_goes_the_normal_way(
    start: Any, quickly: list[bool], as_child: Any
) -> None:
    app = start()
    link = warmed(app)
    for what, (target, headers, method) in different(app, link, as_child).items():
        quickly.clear()
        through = ask(app, target, headers, method)
        assert True not in quickly, what
        lane, app.wsgi_app = app.wsgi_app, app.wsgi_app._normally
        past = ask(app, target, headers, method)
        app.wsgi_app = lane
        assert (through.status_code, through.data[:20]) == (past.status_code, past.data[:20]), what
    assert (ask(app, link, {}).status_code, quickly[-1]) == (200, True)


def test_a_revoked_token_is_refused_at_once(start: Any, quickly: list[bool], child: int, redis: Any) -> None:
    app = start()
    for claims, revoke in (
        ({}, lambda token: redis.set(f"blacklisted_token:{token}", "1")),
        ({"jti": "a"}, lambda token: redis.sadd("jwt_blacklist", "a")),
    ):
        token = bearer(user_id=child, user_type="child", **claims)
        address = warmed(app, FILM, token)
        assert (ask(app, address, token).status_code, quickly[-1]) == (200, True)
        revoke(token["Authorization"].split()[1])
        assert ask(app, address, token).get_json() == {"message": "Token has been revoked"}
        assert not quickly[-1]


def test_a_token_ends_in_the_lane_too(
    start: Any, quickly: list[bool], child: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, now = start(), time.time()
    token = bearer(user_id=child, user_type="child", exp=int(now) + 30)
    address = warmed(app, FILM, token)
    assert (ask(app, address, token).status_code, quickly[-1]) == (200, True)
    monkeypatch.setattr(time, "time", lambda: now + 31)
    assert ask(app, address, token).get_json() == {"message": "Token has expired"}


def test_a_retirement_ends_it_at_once_and_by_others_when_it_is_noticed(
    start: Any, quickly: list[bool], as_parent: Any, as_child: Any, sql: Any, make_item: Any
) -> None:
    app, item = start(), make_item(file_path=FILM)
    link, address = warmed(app), warmed(app, token=as_child)
    patch = app.test_client().patch
    for active, status in ((False, 404), (True, 200)):
        quickly.clear()
        assert patch(f"/content/{item}", json={"active": active}, headers=as_parent).status_code == 200
        assert ask(app, link, {}).status_code == ask(app, address, as_child).status_code == status
        assert quickly == [False, active]
    quickly.clear()
    sql("UPDATE content_library SET active = false")
    with app.app_context():
        look_for_changes()
    assert [ask(app, link, {}).status_code for _ in range(2)] == [404, 404]
    assert [ask(app, address, as_child).status_code for _ in range(2)] == [404, 404]
    assert True not in quickly


def test_it_counts_against_the_limit_once(start: Any, quickly: list[bool]) -> None:
    app = start(RATE_LIMIT_FILES="4 per minute")
    link = warmed(app)
    assert [ask(app, link, {}).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert quickly == [True, True, True, False]


def test_a_token_counts_for_its_user_once(start: Any, quickly: list[bool], as_child: Any) -> None:
    app = start(RATE_LIMIT_FILES="4 per minute")
    address = warmed(app, token=as_child)
    assert [ask(app, address, as_child).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert quickly[-4:] == [True, True, True, False]


@pytest.mark.parametrize("settings", [{"CACHE_TTL": 0}, {"RATE_LIMIT_FILES": "9 per second; 99 per minute"}])
def test_without_what_it_needs_everything_goes_the_normal_way(
    settings: dict[str, object], start: Any, quickly: list[bool]
) -> None:
    app = start(**settings)
    link = warmed(app)
    assert ask(app, link, {}).status_code == 200
    assert True not in quickly
