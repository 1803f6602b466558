"""The fast lane gives what the normal way gives, or nothing."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from library_server.extensions import db
from library_server.lane import FastLane
from tests.conftest import bearer

pytestmark = pytest.mark.parametrize("shape", ["guide"])
ORIGIN = "https://app.example.org"
ORIGINS = (None, ORIGIN, "https://evil.example.org")
PATHS = [
    "/content/{item}",
    "/content/{item}/",
    "/content/00{item}?active=true",
    "/content",
    "/content/?subject_area=math&per_page=3&page=1",
    "/content?q=st%C3%B6ry&q=x&unknown=1",
    "/content/subjects",
    "/content/age-ranges",
    "/content/content-types",
    "/content/search?q=story",
    "/api/content/search?q=nothing+like+it",
    "/content/suggest?q=st",
]


@pytest.fixture
def cached(make_app: Callable[..., Flask], database_url: str, redis: Any) -> Iterator[Callable[..., Flask]]:
    """``cached(NAME=value…)``: an application that caches."""
    made = []

    def make(**settings: object) -> Flask:
        made.append(make_app(database_url, CACHE_TTL=3600, **settings))
        return made[-1]

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each request since the last look, whether the lane has answered it."""
    taken: list[bool] = []
    answer = FastLane._answer

    def noting(*given: Any) -> Any:
        taken.append((body := answer(*given)) is not None)
        return body

    monkeypatch.setattr(FastLane, "_answer", noting)
    return taken


def ask(app: Flask, path: str, headers: dict[str, str], method: str = "GET") -> Any:
    return app.test_client().open(path, method=method, headers=headers)


def warm(app: Flask, path: str, headers: dict[str, str]) -> None:
    """Lets the lane know the token, the user and the answer."""
    assert ask(app, path, headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "origins", "origin"),
    [
        *((path, "", None) for path in PATHS),
        *((PATHS[0], origins, origin) for origins in (ORIGIN, f"{ORIGIN},https://b.example.org") for origin in ORIGINS),
    ],
)
def test_a_hit_is_told_alike(
    path: str, origins: str, origin: str | None, cached: Any, quickly: Any, as_child: Any, make_item: Any, redis: Any,
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    limits = {f"RATE_LIMIT_{name}": "1000 per hour" for name in ("DEFAULT", "SEARCH")}
    app, path = cached(CORS_ORIGINS=origins, **limits), path.format(item=make_item())
    asked = as_child | {"X-Request-ID": "one"} | ({"Origin": origin} if origin else {})
    warm(app, path, asked)
    caplog.set_level(logging.INFO, "library_server.requests")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    told, views = [], app.extensions["library_tally"]._counts
    for way in (app.wsgi_app, app.wsgi_app._normally):
        views.clear()
        app.wsgi_app = way
        redis.delete(*redis.keys("rate_limit:*"))
        before = counted(app)
        caplog.clear()
        answer = ask(app, path, asked)
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
                "views": dict(views),
            }
        )
    quick, normal = told
    assert quickly == [False, True]  # the warming, the lane; the normal way is asked past it
    assert abs(reset(quick["headers"]) - reset(normal["headers"])) < 10  # the clock of Redis went on
    assert {**quick, "headers": without_reset(quick)} == {**normal, "headers": without_reset(normal)}


def counted(app: Flask) -> dict[Any, float]:
    """Every counter, but for the seconds."""
    samples = (sample for family in app.extensions["library_metrics"].registry.collect() for sample in family.samples)
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for sample in samples
        if sample.name.endswith(("_total", "_count")) and "seconds_count" not in sample.name
    }


def reset(headers: list[tuple[str, str]]) -> int:
    return int(dict(headers)["X-RateLimit-Reset"])


def without_reset(told: Any) -> list[tuple[str, str]]:
    return [header for header in told["headers"] if header[0] != "X-RateLimit-Reset"]


# What the lane must leave to the normal way, once everything about an item is in place for it.
DIFFERENT: dict[str, Callable[..., Any]] = {
    "another method": lambda ask, path, as_child: ask(path, as_child, "HEAD"),
    "a precondition": lambda ask, path, as_child: ask(path, as_child | {"If-Match": '"x"'}),
    "what the client has": lambda ask, path, as_child: ask(path, as_child | {"If-None-Match": "*"}),
    "no token": lambda ask, path, as_child: ask(path, {}),
    "another scheme": lambda ask, path, as_child: ask(path, {"Authorization": "Basic x"}),
    "retired items": lambda ask, path, as_child: ask(f"{path}?active=all", as_child),
    "a query without end": lambda ask, path, as_child: ask(f"{path}?x={'x' * 300}", as_child),
    "another path": lambda ask, path, as_child: ask(f"{path}/download", as_child),
    "a token never seen": lambda ask, path, as_child: ask(path, {"Authorization": as_child["Authorization"] + "x"}),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_is_no_ordinary_hit_goes_the_normal_way(
    what: str, cached: Any, quickly: Any, as_child: Any, make_item: Any
) -> None:
    app, path = cached(), f"/content/{make_item()}"
    warm(app, path, as_child)
    answer = DIFFERENT[what](lambda *given: ask(app, *given), path, as_child)
    assert quickly == [False, False], answer.status
    warm(app, path, as_child)
    assert quickly[-1]


def test_a_revoked_token_is_refused_at_once(cached: Any, quickly: Any, redis: Any, child: int, make_item: Any) -> None:
    app, path = cached(), f"/content/{make_item()}"
    for claims, revoke in (
        ({}, lambda token: redis.set(f"blacklisted_token:{token}", "1")),
        ({"jti": "a"}, lambda token: redis.sadd("jwt_blacklist", "a")),
        ({"jti": ""}, lambda token: redis.sadd("jwt_blacklist", "")),
        ({"jti": "b"}, lambda token: redis.set("jwt_blacklist", "of another type")),
    ):
        header = bearer(user_id=child, user_type="child", **claims)
        warm(app, path, header)
        warm(app, path, header)
        assert quickly[-1]
        redis.delete("jwt_blacklist")
        revoke(header["Authorization"].split()[1])
        refused = ask(app, path, header)
        expected = (200, "content") if claims == {"jti": "b"} else (401, "message")
        assert (refused.status_code, *refused.get_json()) == expected
        assert not quickly[-1]


def test_a_limit_that_is_reached_refuses_once_for_each_request(
    cached: Any, quickly: Any, as_child: Any, make_item: Any, redis: Any
) -> None:
    app, path = cached(RATE_LIMIT_DEFAULT="3 per hour"), f"/content/{make_item()}"
    answers = [ask(app, path, as_child) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert quickly == [False, True, True, False, False]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0", "0"]
    [key] = redis.keys("rate_limit:child-*")
    assert redis.hget(key, "count") == b"3"


def test_several_limits_are_left_to_the_normal_way(cached: Any, quickly: Any, as_child: Any, make_item: Any) -> None:
    app, path = cached(RATE_LIMIT_DEFAULT="1000 per hour; 2 per minute"), f"/content/{make_item()}"
    assert [ask(app, path, as_child).status_code for _ in range(3)] == [200, 200, 429]
    assert not any(quickly)


def test_an_edit_shows_at_once(cached: Any, quickly: Any, as_child: Any, as_parent: Any, make_item: Any) -> None:
    app, path = cached(), f"/content/{make_item()}"
    for title in ("A new title", "A newer title"):
        warm(app, path, as_child)
        changed = app.test_client().patch(path, json={"title": title}, headers=as_parent)
        assert changed.status_code == 200
        assert ask(app, path, as_child).get_json()["content"]["title"] == title
        assert not quickly[-1]


def test_a_user_is_looked_up_again_after_a_minute(
    cached: Any, quickly: Any, as_child: Any, make_item: Any, sql: Any, child: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, path = cached(), f"/content/{make_item()}"
    warm(app, path, as_child)
    sql("DELETE FROM child WHERE id = %s", (child,))
    assert ask(app, path, as_child).status_code == 200
    assert quickly[-1]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    refused = ask(app, path, as_child)
    assert (refused.status_code, refused.get_json()) == (401, {"message": "User not found"})
    assert not quickly[-1]


def test_a_token_ends_in_the_lane_too(
    cached: Any, quickly: Any, child: int, make_item: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, path, now = cached(), f"/content/{make_item()}", time.time()
    header = bearer(user_id=child, user_type="child", exp=int(now) + 30)
    warm(app, path, header)
    warm(app, path, header)
    assert quickly[-1]
    monkeypatch.setattr(time, "time", lambda: now + 31)
    assert ask(app, path, header).get_json() == {"message": "Token has expired"}


@pytest.mark.parametrize(
    "value", [b"", b"x", b"{generation}.{fingerprint} 99999999999 etag\nnot the body", b"\xff\n{}"]
)
def test_what_others_left_in_the_place_of_an_answer_is_none(
    value: bytes, cached: Any, quickly: Any, as_child: Any, make_item: Any, redis: Any
) -> None:
    app, item = cached(), make_item(title="The right one")
    path, key = f"/content/{item}", f"content_cache:{item}"
    warm(app, path, as_child)
    head, _, _ = redis.get(key).partition(b" ")
    redis.set(key, value.replace(b"{generation}.{fingerprint}", head))
    assert ask(app, path, as_child).get_json()["content"]["title"] == "The right one"
    assert not quickly[-1]
    redis.delete(key)
    redis.rpush(key, "a list")
    assert ask(app, path, as_child).get_json()["content"]["title"] == "The right one"


def test_a_host_has_no_lane(make_app: Any, database_url: str) -> None:
    from library_server import init_app

    host = Flask("host")
    before = host.wsgi_app
    settings = make_app(database_url).extensions["library_config"]
    init_app(host, settings)
    assert host.wsgi_app == before


def test_the_lane_knows_every_cached_route(cached: Any) -> None:
    assert sorted({route.rule for route in cached().wsgi_app._routes}) == [
        "/api/content/search",
        "/content",
        "/content/<int:item_id>",
        "/content/age-ranges",
        "/content/content-types",
        "/content/search",
        "/content/subjects",
        "/content/suggest",
    ]
