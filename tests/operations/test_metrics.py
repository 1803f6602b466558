"""What /metrics tells, whom, and that workers who come and go lose nothing."""

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from library_server.extensions import db
from library_server.shared.gate import RedisAway
from library_server.shared.redis import redis as shared
from library_server.version import __version__
from tests.conftest import Servers
from tests.files.serving import reader
from tests.uploads.folders import Folders
from tests.uploads.server import running

PROJECT = Path(__file__).parents[2]
SHIPPED = [*(PROJECT / "deploy" / "grafana").glob("*.json"), PROJECT / "deploy" / "prometheus" / "alerts.yml"]
pytestmark = pytest.mark.parametrize("shape", ["guide"])
Labels = frozenset[tuple[str, str]]
Start = Callable[..., Flask]


def samples(told: str) -> dict[tuple[str, Labels], float]:
    """Every sample by its name and labels."""
    families = text_string_to_metric_families(told)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(app: Flask, name: str, **labels: str) -> float:
    """One sample; 0 where there is none yet."""
    told = app.test_client().get("/metrics").get_data(as_text=True)
    return samples(told).get((f"library_{name}", frozenset(labels.items())), 0.0)


@pytest.fixture
def start(make_app: Callable[..., Flask], database_url: str, redis: Any, tmp_path: Path) -> Start:
    """``start(CACHE_TTL=600)``: an application with one content file."""
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "song.mp3").write_bytes(b"x" * 1000)
    return lambda **settings: make_app(database_url, **{"CONTENT_STORAGE_PATH": str(tmp_path)} | settings)


@pytest.mark.parametrize(
    ("allowed", "peer", "headers", "status"),
    [
        (None, "127.0.0.1", {}, 200),
        (None, "127.9.9.9", {}, 200),
        (None, "::1", {}, 200),
        (None, "127.0.0.1", {"X-Real-IP": "127.0.0.1"}, 200),
        (None, "127.0.0.1", {"X-Real-IP": "203.0.113.7"}, 404),  # as nginx on this machine passes it on
        (None, "127.0.0.1", {"X-Real-IP": "nonsense"}, 404),
        (None, "127.0.0.1", {"X-Real-IP": ""}, 404),
        (None, "127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 404),
        (None, "127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 404),
        (None, "203.0.113.7", {}, 404),
        (None, "203.0.113.7", {"X-Real-IP": "127.0.0.1"}, 404),
        (None, "10.0.0.5", {}, 404),
        (None, "", {}, 404),
        (None, "", {"X-Real-IP": "127.0.0.1"}, 404),
        ("10.0.0.0/8", "10.0.0.5", {}, 200),
        ("10.0.0.0/8", "127.0.0.1", {}, 404),
        ("10.0.0.0/8", "10.0.0.5", {"X-Real-IP": "10.0.0.6"}, 200),
        ("10.0.0.0/8", "10.0.0.5", {"X-Real-IP": "203.0.113.7"}, 404),
        ("fd00::/8, 192.0.2.1", "fd00::17", {}, 200),
    ],
)
@pytest.mark.parametrize("proxies", [None, "192.0.2.200"], ids=["loopback is trusted", "another is trusted"])
def test_only_who_is_near_may_read_them(
    start: Start, allowed: str | None, proxies: str | None, peer: str, headers: dict[str, str], status: int
) -> None:
    given = {"METRICS_ALLOWED": allowed, "TRUSTED_PROXIES": proxies}
    client = start(**{name: told for name, told in given.items() if told}).test_client()
    for path in ("/metrics", "/metrics/"):
        answer = client.get(path, headers=headers, environ_overrides={"REMOTE_ADDR": peer})
        assert answer.status_code == status
        if status == 404:
            assert answer.get_json() == {"message": "Not found"}
    assert client.get("/api/content/metrics").status_code == 404


def test_they_can_be_switched_off(start: Start) -> None:
    assert start(ENABLE_METRICS="false").test_client().get("/metrics").status_code == 404


def test_no_caller_makes_up_a_label(start: Start, as_parent: Any, make_item: Any) -> None:
    make_item()
    app = start()
    client = app.test_client()
    for number in range(30):
        client.open(f"/nowhere/{number}", method=f"BREW{number}")
        client.open("/content/1", method=f"METHOD-{number}", headers=as_parent)
        client.get(f"/content/{number}?q={number}", headers=as_parent | {"X-Request-ID": f"id-{number}"})
        client.get(f"/content/audio/{number}.mp3", headers=as_parent | {"Host": f"host{number}"})
    told = client.get("/metrics").get_data(as_text=True)
    labels = {name: set(re.findall(rf'{name}="([^"]*)"', told)) for name in ("route", "method", "status")}
    assert labels["route"] <= {rule.rule for rule in app.url_map.iter_rules()} | {"unmatched"}
    assert labels["method"] == {"GET", "OTHER"}
    assert labels["status"] == {"200", "404", "405"}
    assert len(told.splitlines()) < 250
    assert value(app, "requests_total", route="unmatched", method="OTHER", status="404") == 30
    assert value(app, "request_seconds_count", route="unmatched") == 60  # also where the method is unknown
    assert value(app, "request_seconds_count", route="/content/<int:item_id>") == 30


def test_answers_are_counted_by_how_they_came_about(start: Start, as_parent: Any, make_item: Any, redis: Any) -> None:
    make_item()
    app = start(CACHE_TTL=600)
    client = app.test_client()
    for path in ("/content", "/content", "/content/1", "/content/1", "/content/1", "/content?active=all"):
        assert client.get(path, headers=as_parent).status_code == 200

    def answers(family: str, how: str) -> float:
        return value(app, "cache_answers_total", family=family, how=how)

    assert (answers("list_items", "miss"), answers("list_items", "hit"), answers("list_items", "uncached")) == (1, 1, 1)
    assert (answers("get_item", "miss"), answers("get_item", "hit")) == (1, 2)
    (key,) = redis.keys("content_cache:*")
    head, _, body = redis.get(key).partition(b"\n")
    generation, _, etag = head.split(b" ")
    redis.set(key, b" ".join([generation, b"0", etag]) + b"\n" + body, ex=60)
    redis.set(f"library:lock:{key.decode()}", "1", ex=5)  # somebody else is rebuilding it
    assert client.get("/content/1", headers=as_parent).status_code == 200
    assert answers("get_item", "stale") == 1


def test_bytes_are_counted_by_the_way_they_travel(start: Start, as_parent: Any) -> None:
    app = start()
    client = reader(app)
    path = "/content/audio/song.mp3"
    for headers in ({}, {"Range": "bytes=0-9"}, {"If-None-Match": "*"}):
        client.get(path, headers=as_parent | headers)
    client.head(path, headers=as_parent)
    assert value(app, "response_bytes_total", way="python") == 1010
    assert value(app, "responses_total", way="not_modified") == value(app, "responses_total", way="head") == 1
    by_nginx = start(USE_X_ACCEL_REDIRECT="true")
    for headers in ({}, {"Range": "bytes=0-9"}):
        reader(by_nginx).get(path, headers=as_parent | headers)
    assert value(by_nginx, "response_bytes_total", way="x_accel") == 1010


def test_refusals_are_counted_by_limit(start: Start, as_parent: Any) -> None:
    limits = {f"RATE_LIMIT_{name}": "1 per minute" for name in ("DEFAULT", "SEARCH", "FILES", "ANONYMOUS")}
    app = start(**limits)
    client = reader(app)
    for path in ("/content", "/content/search?q=x", "/content/audio/song.mp3"):
        assert [client.get(path, headers=as_parent).status_code for _ in range(3)][1:] == [429, 429]
    assert [client.get("/content").status_code for _ in range(3)] == [401, 429, 429]
    told = {
        name: value(app, "limit_refusals_total", limit=name) for name in ("default", "search", "files", "anonymous")
    }
    assert told == dict.fromkeys(told, 2)
    assert value(app, "limit_refusals_total", limit="upload") == 0


def test_what_is_asked_of_postgresql_is_measured(start: Start, make_app: Any, as_parent: Any) -> None:
    app = start()
    with app.app_context(), db.engine.connect() as connection:
        connection.execute(text("SELECT pg_sleep(0.03)"))
        connection.execute(text("SELECT 1"))
        before = value(app, "database_statement_seconds_count")
        assert before >= 2
        assert 0.03 <= value(app, "database_statement_seconds_sum") < 5
        assert (value(app, "database_connections"), value(app, "database_connections_max")) == (1, 15)
    assert value(app, "database_connections") == 0
    with app.app_context(), db.engine.connect() as first, db.engine.connect() as second:
        first.execute(text("LOCK TABLE library_moved IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(OperationalError):
            second.execute(text("LOCK TABLE library_moved IN ACCESS EXCLUSIVE MODE NOWAIT"))
    assert value(app, "database_failures_total") == 0  # another was at work, that is all
    away = make_app("postgresql://nobody@127.0.0.1:1/nothing")
    away.test_client().get("/content", headers=as_parent)
    assert value(away, "database_failures_total") >= 1


def test_outages_of_redis_and_what_waits_there_are_told(
    start: Start, redis: Any, as_child: Any, make_item: Any
) -> None:
    make_item()
    app = start()
    app.test_client().get("/content/1", headers=as_child)
    with app.app_context():
        assert app.extensions["library_tally"].push()
    assert (value(app, "usage_in_redis"), value(app, "redis_away")) == (1, 0)
    away = start(REDIS_URL="redis://127.0.0.1:1")
    with away.app_context(), pytest.raises(RedisAway):
        shared.ask(lambda client: client.ping())
    assert (value(away, "redis_away"), value(away, "redis_outages_total")) == (1, 1)
    told = away.test_client().get("/metrics").get_data(as_text=True)
    assert "library_usage_in_redis NaN" in told


def test_what_dashboards_and_alerts_name_is_told(start: Start, make_item: Any, as_parent: Any, as_child: Any) -> None:
    make_item()
    app = start(RATE_LIMIT_SEARCH="1 per minute")
    for path in ("/content/1", "/content/search?q=x", "/content/search?q=x", "/nowhere"):
        app.test_client().get(path, headers=as_child)
    told = {name for name, _ in samples(app.test_client().get("/metrics").get_data(as_text=True))}
    documented = set(re.findall(r"^\| `(library_\w+)`", (PROJECT / "docs" / "operating.md").read_text(), re.MULTILINE))
    told = {name for name in told if not name.endswith("_created")}
    assert len(SHIPPED) == 2
    for document in SHIPPED:
        named = set(re.findall(r"\blibrary_\w+", document.read_text()))
        assert named, document
        assert named <= told, document
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in told} == documented
    expressions = json.loads(SHIPPED[0].read_text())["panels"]
    assert all(target["expr"] for panel in expressions for target in panel["targets"])


def test_workers_count_together_and_their_successors_go_on(
    database_url: str, servers: Servers, redis: Any, tmp_path: Path, as_child: Any
) -> None:
    with running(Folders.below(tmp_path), database_url, servers.redis_url) as server:

        def told() -> dict[tuple[str, Labels], float]:
            return samples(requests.get(f"{server.url}/metrics", timeout=10).text)

        def content() -> None:
            requests.get(f"{server.url}/content", headers=as_child, timeout=10).raise_for_status()

        labels = frozenset({"route": "/content", "method": "GET", "status": "200"}.items())
        for _ in range(40):
            content()
        assert told()["library_requests_total", labels] == 40
        (folder,) = _directories_of(server.process.pid)
        files = sorted(path.name for path in folder.iterdir())
        for _ in range(2):
            before = {worker.pid for worker in server.workers()}
            for worker in server.workers():
                worker.kill()
            _soon(lambda before=before: len({worker.pid for worker in server.workers()} - before) == 2)
            _soon(lambda: requests.get(f"{server.url}/health/live", timeout=10).ok)
            content()
        counted = told()
        assert counted["library_requests_total", labels] == 42
        assert counted["library_database_connections", frozenset()] <= 2
        assert counted["library_build_info", frozenset({("version", __version__)})] == 1
        assert {path.name for path in folder.iterdir()} <= set(files)
    assert not folder.exists()


def test_what_a_killed_server_left_is_removed_by_the_next_and_nothing_of_those_that_live(
    database_url: str, servers: Servers, redis: Any, tmp_path: Path
) -> None:
    place = Folders.below(tmp_path), database_url, servers.redis_url
    with running(*place) as lives:
        (used,) = _directories_of(lives.process.pid)
        with running(*place) as killed:
            (left,) = _directories_of(killed.process.pid)
            for process in (killed.process, *killed.workers()):
                process.kill()
        assert left.is_dir()
        for folder in (used, left):
            os.utime(folder, (0, 0))
        with running(*place):
            assert (used.is_dir(), left.is_dir()) == (True, False)


def _directories_of(pid: int) -> set[Path]:
    """Where the process has files of metrics open."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {Path(found).parent for found in re.findall(r"(/\S+\.db)$", maps, re.MULTILINE)}


def _soon(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            if holds():
                return
        except requests.ConnectionError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)
