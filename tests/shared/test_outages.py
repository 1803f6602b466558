"""Redis stopped, frozen, full, read-only, flushed or slow while requests run: nobody gets an error, few wait at all."""

import logging
import os
import signal
import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from redis import Redis

from library_server.dev import embedded
from library_server.extensions import db
from library_server.shared import redis as shared
from library_server.shared.gate import PAUSE_SECONDS, RedisAway
from library_server.usage.counting import tally
from library_server.usage.flushing import flush
from library_server.web.changes import look_for_changes

pytestmark = [pytest.mark.parametrize("shape", ["backend"]), pytest.mark.impatient]
PATHS = ["/content/1", "/content", "/content/subjects", "/content?page=2"]
BACK_SECONDS = 5


class OwnRedis:
    """A Redis of one test, which may stop and start it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._running = folder, ExitStack()
        self.start()

    def start(self) -> None:
        running = self._running.enter_context(embedded.redis(self._folder))
        self.url, self.pid = running.url, running.pid

    def stop(self) -> None:
        self._running.close()

    def ask(self, *command: Any) -> Any:
        with Redis.from_url(self.url) as client:
            return client.execute_command(*command)


@pytest.fixture
def own() -> Iterator[OwnRedis]:
    with tempfile.TemporaryDirectory(prefix="library-tests-") as folder:
        made = OwnRedis(Path(folder))
        yield made
        os.kill(made.pid, signal.SIGCONT)  # a test that failed may have left it frozen
        made.stop()


@pytest.fixture
def serving(make_app: Any, database_url: str, own: OwnRedis, make_item: Any) -> Iterator[Flask]:
    make_item(title="before")
    app = make_app(database_url, REDIS_URL=own.url, CACHE_TTL=600)
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def tries(serving: Flask) -> list[float]:
    """When Redis was really asked, and each connection in vain."""
    asked: list[float] = []
    gate = serving.extensions["library_redis"]
    execute = gate._client.connection_pool.get_connection

    def note(*arguments: Any, **options: Any) -> Any:
        asked.append(time.monotonic())
        return execute(*arguments, **options)

    gate._client.connection_pool.get_connection = note
    return asked


def statuses(app: Flask, headers: Any, rounds: int = 5) -> set[int]:
    return {app.test_client().get(path, headers=headers).status_code for path in PATHS * rounds}


def look_until_sure() -> None:
    """As housekeeping does: what fails is tried again."""
    deadline, gate = time.monotonic() + BACK_SECONDS, shared.redis.gate
    gate.unsure = True
    while gate.unsure:
        assert time.monotonic() < deadline
        with suppress(RedisAway):
            look_for_changes()


@contextmanager
def stopped(own: OwnRedis) -> Iterator[None]:
    own.stop()
    yield
    own.start()


@contextmanager
def frozen(own: OwnRedis) -> Iterator[None]:
    os.kill(own.pid, signal.SIGSTOP)
    yield
    os.kill(own.pid, signal.SIGCONT)


@pytest.mark.parametrize("outage", [stopped, frozen])
def test_without_redis_everything_works_and_what_was_edited_shows(
    outage: Callable[..., Any],
    serving: Flask,
    own: OwnRedis,
    as_parent: Any,
    tries: list[float],
    caplog: pytest.LogCaptureFixture,
    sql: Any,
) -> None:
    client = serving.test_client()
    assert statuses(serving, as_parent) == {200}
    caplog.set_level(logging.WARNING)
    with outage(own):
        tries.clear()
        started = time.monotonic()
        assert statuses(serving, as_parent, 10) == {200}
        assert client.patch("/content/1", json={"title": "after"}, headers=as_parent).status_code == 200
        assert client.get("/content/1", headers=as_parent).get_json()["content"]["title"] == "after"
        assert len(tries) <= 6 + (time.monotonic() - started) / PAUSE_SECONDS
    lines = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
    assert len(lines) == 1, lines

    assert_back(serving, as_parent, own)
    assert client.get("/content/1", headers=as_parent).get_json()["content"]["title"] == "after"
    lines = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
    assert (len(lines), lines[-1]) == (2, "Redis is back")


def assert_back(app: Flask, headers: Any, own: OwnRedis) -> None:
    """Within five seconds Redis is used again."""
    deadline = time.monotonic() + BACK_SECONDS
    while app.extensions["library_redis"]._away:
        assert time.monotonic() < deadline
        assert app.test_client().get("/content/1", headers=headers).status_code == 200
        time.sleep(0.05)
    app.test_client().get("/content/1", headers=headers)
    assert own.ask("EXISTS", "content_cache:1") == 1


def test_another_server_that_was_not_told_does_not_hide_the_edit(
    make_app: Any, database_url: str, serving: Flask, own: OwnRedis, as_parent: Any
) -> None:
    """The first server edits while Redis is away; the second notices the outage, and nothing of the edit."""
    second = make_app(database_url, REDIS_URL=own.url, CACHE_TTL=600)
    assert b"before" in second.test_client().get("/content/1", headers=as_parent).data
    with frozen(own):
        second.test_client().get("/content/1", headers=as_parent)
        serving.test_client().patch("/content/1", json={"title": "after"}, headers=as_parent)
    assert_back(second, as_parent, own)
    assert b"after" in second.test_client().get("/content/1", headers=as_parent).data
    with second.app_context():
        db.engine.dispose()


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ],
    ids=["full", "read-only"],
)
def test_a_redis_that_takes_no_writes_fails_nobody_and_hides_no_edit(
    broken: Any, mended: Any, serving: Flask, own: OwnRedis, as_parent: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = serving.test_client()
    assert statuses(serving, as_parent) == {200}
    caplog.set_level(logging.WARNING)
    own.ask(*broken)
    assert statuses(serving, as_parent) == {200}
    assert client.patch("/content/1", json={"title": "after"}, headers=as_parent).status_code == 200
    assert client.get("/content/1", headers=as_parent).get_json()["content"]["title"] == "after"
    assert statuses(serving, as_parent) == {200}
    own.ask(*mended)
    time.sleep(PAUSE_SECONDS)
    assert statuses(serving, as_parent) == {200}
    assert own.ask("EXISTS", "content_cache:1") == 1
    assert client.get("/content/1", headers=as_parent).get_json()["content"]["title"] == "after"
    lines = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
    assert [line.split(" (")[0] for line in lines] == ["Redis refuses writes", "Redis takes writes again"]


def test_a_redis_that_was_flushed_is_filled_again(serving: Flask, own: OwnRedis, as_parent: Any) -> None:
    assert statuses(serving, as_parent) == {200}
    own.ask("FLUSHALL")
    own.ask("SCRIPT", "FLUSH")
    assert statuses(serving, as_parent) == {200}
    assert own.ask("EXISTS", "content_cache:1") == 1


def test_limits_go_on_in_the_process(make_app: Any, database_url: str, own: OwnRedis, as_parent: Any) -> None:
    app = make_app(database_url, REDIS_URL=own.url, RATE_LIMIT_DEFAULT="3 per minute")
    with stopped(own):
        answers = [app.test_client().get("/content", headers=as_parent) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["X-RateLimit-Remaining"] == "2"
    assert answers[3].get_json()["retry_after_seconds"] >= 1
    with app.app_context():
        db.engine.dispose()


def test_where_revocation_must_be_asked_nobody_is_let_in_without(
    make_app: Any, database_url: str, own: OwnRedis, as_parent: Any
) -> None:
    app = make_app(database_url, REDIS_URL=own.url, REVOCATION_REQUIRED="true")
    with stopped(own):
        answer = app.test_client().get("/content", headers=as_parent)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    with app.app_context():
        db.engine.dispose()


@pytest.mark.parametrize("outage", [stopped, frozen])
def test_counts_of_an_outage_are_written_after_it_once(
    outage: Callable[..., Any], serving: Flask, own: OwnRedis, as_parent: Any, sql: Any
) -> None:
    def view(times: int) -> None:
        for _ in range(times):
            assert serving.test_client().get("/content/1", headers=as_parent).status_code == 200
        with serving.app_context():
            tally().push()

    view(3)
    with outage(own):
        view(4)
    deadline = time.monotonic() + BACK_SECONDS
    with serving.app_context():
        while not tally().push():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert flush().views == 7
    assert sql("SELECT usage_count FROM content_library") == [{"usage_count": 7}]


def test_a_redis_that_comes_back_as_it_was_long_ago_hides_no_edit(
    serving: Flask, own: OwnRedis, as_parent: Any
) -> None:
    """Its memory was saved, then an item was edited, then it was started again from what was saved."""
    client = serving.test_client()

    def title() -> Any:
        return client.get("/content/1", headers=as_parent).get_json()["content"]["title"]

    with serving.app_context():
        look_for_changes()
    assert [title(), title()] == ["before", "before"]
    saved = {key: own.ask("DUMP", key) for key in own.ask("KEYS", "*")}
    assert {b"content_cache:1", b"library:generation"} <= saved.keys()
    assert client.patch("/content/1", json={"title": "after"}, headers=as_parent).status_code == 200
    with serving.app_context():
        look_for_changes()
    with stopped(own):
        pass  # nobody asks meanwhile, so nobody notices
    own.ask("FLUSHALL")
    for key, value in saved.items():
        own.ask("RESTORE", key, 60_000, value)
    with serving.app_context():
        look_until_sure()
    assert title() == "after"
    generation = own.ask("GET", "library:generation")
    with serving.app_context():
        look_for_changes()
    assert own.ask("GET", "library:generation") == generation  # once


@pytest.mark.parametrize("outage", [stopped, frozen])
def test_a_look_while_redis_is_away_makes_nobody_sure_of_what_it_holds(
    outage: Callable[..., Any], serving: Flask, own: OwnRedis
) -> None:
    with serving.app_context():
        with outage(own), pytest.raises(RedisAway):
            look_for_changes()
        assert shared.redis.gate.unsure
        look_until_sure()


def test_a_redis_that_may_not_say_who_it_is_is_used(serving: Flask, own: OwnRedis, as_parent: Any, sql: Any) -> None:
    client = serving.test_client()
    assert client.get("/content/1", headers=as_parent).status_code == 200
    own.ask("ACL", "SETUSER", "default", "-info")
    sql("UPDATE content_library SET title = 'after'")
    with serving.app_context():
        look_for_changes()
    assert client.get("/content/1", headers=as_parent).get_json()["content"]["title"] == "after"


class Slow(socketserver.ThreadingUnixStreamServer):
    """Passes everything to the Redis behind it, each answer `delay` seconds late."""

    daemon_threads = True
    delay = 0.0
    behind = ""


class Named(socketserver.ThreadingTCPServer):
    """The same at an address of the network, and at once."""

    daemon_threads = True
    delay = 0.0
    behind = ""


class Pass(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Slow | Named)
        with socket.socket(socket.AF_UNIX) as behind:
            behind.connect(self.server.behind)
            threading.Thread(target=self._pass, args=(self.request, behind, 0), daemon=True).start()
            self._pass(behind, self.request, self.server)

    def _pass(self, source: socket.socket, target: socket.socket, late: Any) -> None:
        while data := _receive(source):
            time.sleep(late.delay if late else 0)
            try:
                target.sendall(data)
            except OSError:
                return


def _receive(source: socket.socket) -> bytes:
    try:
        return source.recv(65_536)
    except OSError:
        return b""


def test_a_slow_redis_is_asked_once_a_request(
    make_app: Any, database_url: str, own: OwnRedis, as_parent: Any, make_item: Any
) -> None:
    """A request that has waited long does without: no edit, no lock, nothing kept."""
    make_item()
    with tempfile.TemporaryDirectory(prefix="library-tests-") as folder:
        path = f"{folder}/slow.sock"
        Slow.behind = own.url.removeprefix("unix://").partition("?")[0]
        with Slow(path, Pass) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            app = make_app(database_url, REDIS_URL=f"unix://{path}?db=0", CACHE_TTL=600)
            client = app.test_client()
            for _ in range(2):  # the second time the fast lane shows Redis its script
                client.get("/content", headers=as_parent)
            server.delay = shared.LONG_SECONDS + 0.005
            trips: list[int] = []
            gate = app.extensions["library_redis"]
            run = gate.run
            gate.run = lambda commands: (trips.append(len(commands)), run(commands))[1]
            for number in range(2, 6):
                trips.clear()
                assert client.get(f"/content?page={number}", headers=as_parent).status_code == 200
                assert len(trips) <= 1
            token = as_parent["Authorization"].split(" ")[1]
            own.ask("SET", f"blacklisted_token:{token}", 1, "EX", 60)
            for path in ("/content", "/content?page=9"):  # kept, and not kept
                trips.clear()
                answer = client.get(path, headers=as_parent)
                assert (answer.status_code, answer.get_json()["message"]) == (401, "Token has been revoked")
                assert len(trips) <= 1
            server.shutdown()
            with app.app_context():
                db.engine.dispose()


def test_nobody_waits_for_a_name_that_takes_long_to_be_resolved(
    make_app: Any, database_url: str, own: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def slowly(host: str, *asked: Any) -> Any:
        time.sleep(0.4)
        return resolve("127.0.0.1", *asked)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    Named.behind = own.url.removeprefix("unix://").partition("?")[0]
    with Named(("127.0.0.1", 0), Pass) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        app = make_app(database_url, REDIS_URL=f"redis://redis.example:{server.server_address[1]}/0")
        gate, slowest, answer = app.extensions["library_redis"], 0.0, None
        deadline = time.monotonic() + BACK_SECONDS
        while answer is None:
            assert time.monotonic() < deadline
            started = time.monotonic()
            with suppress(RedisAway):
                answer = gate.ask(lambda redis: redis.ping())
            slowest = max(slowest, time.monotonic() - started)
            time.sleep(0.01)
        assert slowest < 0.3
        server.shutdown()
