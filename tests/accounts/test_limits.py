"""Limits: what counts for whom, under which keys, and what a client is told."""

import re
from typing import Any

import pytest
from flask import Flask

from library_server.extensions import db
from tests.conftest import bearer, make_child
from tests.files.serving import reader

pytestmark = pytest.mark.parametrize("shape", ["guide"])
SENTENCE = "Rate limit exceeded. Please try again later."


@pytest.fixture
def limited(make_app: Any, database_url: str, redis: Any, tmp_path: Any) -> Any:
    """``limited(RATE_LIMIT_DEFAULT="2 per minute")``: a client of an application with these limits."""
    made: list[Flask] = []

    def make(**limits: str) -> Any:
        for folder in ("content/audio", "assets/icons"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / "x.mp3").write_bytes(b"x")
        folders = {"CONTENT_STORAGE_PATH": tmp_path / "content", "ASSETS_STORAGE_PATH": tmp_path / "assets"}
        made.append(make_app(database_url, **{name: str(path) for name, path in folders.items()}, **limits))
        return reader(made[-1])

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


def test_one_more_than_allowed_is_told_when_to_come_again(limited: Any, as_child: Any) -> None:
    client = limited(RATE_LIMIT_DEFAULT="3 per minute")
    left = []
    for _ in range(3):
        answer = client.get("/content", headers=as_child)
        assert (answer.status_code, answer.headers["X-RateLimit-Limit"]) == (200, "3")
        left.append(answer.headers["X-RateLimit-Remaining"])
    refused = client.get("/content", headers=as_child)
    assert (left, refused.status_code) == (["2", "1", "0"], 429)
    body = refused.get_json()
    assert (set(body), body["message"]) == ({"message", "retry_after_seconds"}, SENTENCE)
    assert 1 <= body["retry_after_seconds"] <= 120
    assert refused.headers["Retry-After"] == str(body["retry_after_seconds"])
    assert refused.headers["X-RateLimit-Remaining"] == "0"


def test_each_route_and_each_user_has_a_limit_of_its_own(
    limited: Any, as_parent: Any, as_child: Any, parent: int
) -> None:
    client = limited(RATE_LIMIT_DEFAULT="1 per minute")
    same_number = bearer(user_id=parent, user_type="child")  # child 1 is not parent 1
    for headers in (as_parent, as_child if parent != 1 else same_number):
        for path in ("/content", "/content/subjects"):
            assert client.get(path, headers=headers).status_code == 200
            assert client.get(path, headers=headers).status_code == 429


def test_keys_are_those_of_the_contract(
    limited: Any, as_parent: Any, as_child: Any, parent: int, child: int, redis: Any
) -> None:
    client = limited()
    client.get("/content", headers=as_parent)
    client.get("/content/subjects", headers=as_child)
    client.get("/assets/icons/x.mp3")
    client.get("/content")
    client.get("/content/audio/x.mp3", headers=as_child)
    keys = {key.decode() for key in redis.keys("rate_limit:*")}
    assert {":".join(key.split(":")[1:3]) for key in keys} == {
        f"{parent}:library.catalog.list_items",
        f"child-{child}:library.catalog.list_subjects",
        f"child-{child}:files",
        "ip-127.0.0.1:files",
        "ip-127.0.0.1:anonymous",
    }
    assert all(0 < redis.ttl(key) <= 120 for key in keys)


def test_failed_sign_ins_count_by_address_and_no_others_do(limited: Any, as_child: Any) -> None:
    client = limited(RATE_LIMIT_ANONYMOUS="2 per minute")
    bad = [{}, {"Authorization": "Bearer x"}, bearer(user_id=99_999, user_type="child")]
    assert [client.get("/content", headers=headers).status_code for headers in bad] == [401, 401, 429]
    for _ in range(5):
        assert client.get("/content", headers=as_child).status_code == 200
    elsewhere = {"REMOTE_ADDR": "198.51.100.7"}
    assert client.get("/content", environ_overrides=elsewhere).status_code == 401


@pytest.mark.parametrize("by_jti", [False, True])
def test_who_comes_with_a_revoked_token_takes_nothing_from_its_user(
    by_jti: bool, limited: Any, redis: Any, parent: int, as_parent: Any
) -> None:
    client = limited(RATE_LIMIT_DEFAULT="2 per minute")
    stolen = bearer(user_id=parent, user_type="parent", jti="one")
    if by_jti:
        redis.sadd("jwt_blacklist", "one")
    else:
        redis.set(f"blacklisted_token:{stolen['Authorization'].removeprefix('Bearer ')}", "1")
    answers = [client.get("/content", headers=stolen) for _ in range(4)]
    assert [(answer.status_code, answer.json) for answer in answers] == [
        (401, {"message": "Token has been revoked"})
    ] * 4
    assert [client.get("/content", headers=as_parent).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(
    ("peer", "told", "known"),
    [
        ("127.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("127.0.0.1", "2001:DB8::5", "2001:db8::5"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.5, 198.51.100.1", "127.0.0.1"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("198.51.100.7", "203.0.113.5", "198.51.100.7"),
        ("::1", "203.0.113.5", "203.0.113.5"),
        ("", "203.0.113.5", "203.0.113.5"),
        ("::ffff:127.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("::ffff:198.51.100.7", "203.0.113.5", "198.51.100.7"),
    ],
)
def test_the_address_is_what_a_trusted_proxy_says(
    peer: str, told: str | None, known: str, limited: Any, redis: Any
) -> None:
    headers = {} if told is None else {"X-Real-IP": told}
    limited().get("/content", headers=headers, environ_overrides={"REMOTE_ADDR": peer})
    [key] = redis.keys("rate_limit:*")
    assert key.decode().startswith(f"rate_limit:ip-{known}:anonymous:")


def test_other_proxies_may_be_trusted(limited: Any, redis: Any) -> None:
    client = limited(TRUSTED_PROXIES="10.0.0.0/8, 192.168.1.1")
    for peer in ("10.9.9.9", "192.168.1.1", "127.0.0.1"):
        client.get("/content", headers={"X-Real-IP": "203.0.113.5"}, environ_overrides={"REMOTE_ADDR": peer})
    found = {key.decode().split(":")[1] for key in redis.keys("rate_limit:*")}
    assert found == {"ip-203.0.113.5", "ip-127.0.0.1"}


@pytest.mark.parametrize(
    ("setting", "paths"),
    [
        ("FILES", ["/content/audio/x.mp3", "/content/1/download", "/content/audio/none.mp3"]),
        ("UPLOAD", ["/upload", "/api/content/upload"]),
    ],
)
def test_some_routes_share_a_limit(setting: str, paths: list[str], limited: Any, as_parent: Any) -> None:
    client = limited(**{f"RATE_LIMIT_{setting}": f"{len(paths)} per minute", "RATE_LIMIT_DEFAULT": "1 per minute"})
    method = "POST" if setting == "UPLOAD" else "GET"
    assert 429 not in [client.open(path, method=method, headers=as_parent).status_code for path in paths]
    assert [client.open(path, method=method, headers=as_parent).status_code for path in paths] == [429] * len(paths)


def test_assets_count_by_address(limited: Any) -> None:
    client = limited(RATE_LIMIT_FILES="1 per minute")
    assert [client.get("/assets/icons/x.mp3").status_code for _ in range(2)] == [200, 429]


def test_health_has_no_limit(limited: Any, redis: Any) -> None:
    client = limited(RATE_LIMIT_ANONYMOUS="1 per minute", RATE_LIMIT_DEFAULT="1 per minute")
    for path in ("/health", "/health/live", "/api/content/health/ready") * 3:
        assert client.get(path).status_code == 200
    assert redis.keys("rate_limit:*") == []


def test_every_request_counts_once_whatever_the_route(limited: Any, as_parent: Any, sql: Any) -> None:
    """A route that is limited twice, or not at all, shows here."""
    client = limited(RATE_LIMIT_DEFAULT="50 per minute")
    rules = [rule for rule in client.application.url_map.iter_rules() if rule.endpoint.startswith("library.")]
    for rule in rules:
        if re.search(r"health|metrics|docs|openapi|upload|download|<path:|search|suggest", rule.rule):
            continue
        path = re.sub(r"<int:\w+>", "1", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})[:1]:
            answer = client.open(path, method=method, headers=as_parent)
            assert (path, answer.headers["X-RateLimit-Remaining"]) == (path, "49")


def test_a_user_that_is_gone_does_not_use_up_anybody_s_limit(
    limited: Any, as_child: Any, sql: Any, parent: int
) -> None:
    client = limited(RATE_LIMIT_DEFAULT="1 per minute")
    assert client.get("/content", headers=as_child).status_code == 200
    other = bearer(user_id=make_child(sql, parent), user_type="child")
    assert client.get("/content", headers=other).status_code == 200


@pytest.mark.parametrize("value", ["many", "600", "600 per fortnight", "-1 per minute", "a per b"])
def test_a_limit_that_means_nothing_is_refused_at_start(value: str, limited: Any) -> None:
    with pytest.raises(Exception, match="RATE_LIMIT_DEFAULT must be like 600 per minute"):
        limited(RATE_LIMIT_DEFAULT=value)


@pytest.mark.parametrize("value", ["nowhere", "10.0.0.0/99", "10.0.0.1,x"])
def test_a_proxy_that_is_none_is_refused_at_start(value: str, limited: Any) -> None:
    with pytest.raises(Exception, match="TRUSTED_PROXIES must be addresses"):
        limited(TRUSTED_PROXIES=value)


def test_a_counter_that_is_none_of_ours_fails_nobody(limited: Any, as_child: Any, redis: Any) -> None:
    client = limited(RATE_LIMIT_DEFAULT="2 per minute")
    client.get("/content", headers=as_child)
    [key] = redis.keys("rate_limit:*")
    redis.delete(key)
    redis.rpush(key, "what is this")
    assert [client.get("/content", headers=as_child).status_code for _ in range(3)] == [200, 200, 429]  # in the process


def test_the_window_slides(limited: Any, as_child: Any, redis: Any) -> None:
    """Half a minute into the next window half of the last one still counts."""
    client = limited(RATE_LIMIT_DEFAULT="10 per minute")
    client.get("/content", headers=as_child)
    [key] = redis.keys("rate_limit:*")
    seconds, micros = redis.time()
    number = seconds // 60
    redis.hset(key, mapping={"window": number - 1, "before": 0, "count": 10})
    passed = (seconds % 60 + micros / 1e6) / 60
    statuses = [client.get("/content", headers=as_child).status_code for _ in range(10)]
    assert abs(statuses.count(200) - passed * 10) <= 1.5
    redis.hset(key, mapping={"window": number - 2, "before": 10, "count": 10})
    assert client.get("/content", headers=as_child).status_code == 200
