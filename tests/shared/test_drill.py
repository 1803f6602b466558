"""Real servers go and come back while requests run through real workers; every answer is counted."""

import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import requests
from flask import Flask

from library_server.dev import embedded
from tests.conftest import SCHEMAS, bearer, make_parent, run_sql
from tests.uploads.folders import Folders
from tests.uploads.server import Server, running

OUTAGE_SECONDS = 1.5
BACK_SECONDS = 5


class Load:
    """Clients that ask for the same few things again and again."""

    def __init__(self, server: Server, headers: dict[str, str], paths: list[str], clients: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._ask = lambda path, session: session.get(server.url + path, headers=headers, timeout=30)
        self._threads = [threading.Thread(target=self._run, args=(paths,)) for _ in range(clients)]

    def _run(self, paths: list[str]) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                for path in paths:
                    started = time.monotonic()
                    status = self._ask(path, session).status_code
                    with self._lock:
                        self.statuses[status] += 1
                        self.slowest = max(self.slowest, time.monotonic() - started)
                time.sleep(0.01)

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


class Place:
    """A PostgreSQL and a Redis of this test alone, and a server on both."""

    def __init__(self, folder: Path, make_app: Callable[..., Flask]) -> None:
        self.folder = folder
        self._redis, self._postgres = ExitStack(), ExitStack()
        self.start_redis()
        self.start_postgres()
        run_sql(self.database_url, (SCHEMAS / "backend.sql").read_text())
        with make_app(self.database_url, REDIS_URL=self.redis_url).app_context():
            flask_migrate.upgrade()

    def start_redis(self) -> None:
        made = self._redis.enter_context(embedded.redis(self.folder))
        self.redis_url, self.redis_pid = made.url, made.pid

    def stop_redis(self) -> None:
        self._redis.close()

    def start_postgres(self) -> None:
        self.database_url = self._postgres.enter_context(embedded.postgres(self.folder, durable=False)).url

    def stop_postgres(self) -> None:
        self._postgres.close()

    def close(self) -> None:
        self.stop_redis()
        self.stop_postgres()


@pytest.fixture(scope="module")
def place(make_app: Callable[..., Flask]) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="library-tests-") as folder:
        made = Place(Path(folder), make_app)
        yield made
        made.close()


@contextmanager
def redis_frozen(place: Place) -> Iterator[None]:
    os.kill(place.redis_pid, signal.SIGSTOP)
    yield
    os.kill(place.redis_pid, signal.SIGCONT)


@contextmanager
def redis_stopped(place: Place) -> Iterator[None]:
    place.stop_redis()
    yield
    place.start_redis()


@contextmanager
def postgres_stopped(place: Place) -> Iterator[None]:
    place.stop_postgres()
    yield
    place.start_postgres()


def test_servers_that_go_and_come_back(place: Place, tmp_path: Path) -> None:
    def sql(statement: str, parameters: Any = None) -> Any:
        return run_sql(place.database_url, statement, parameters)

    headers = bearer(user_id=make_parent(sql), user_type="parent")
    sql(
        "INSERT INTO content_library (content_type, subject_area, age_range, content_metadata) "
        "SELECT 'story', 'math', '3-5', json_build_object('title', 'Item ' || n) FROM generate_series(1, 60) n"
    )
    cached = ["/content/1", "/content", "/content/subjects"]
    with running(
        Folders.below(tmp_path), place.database_url, place.redis_url, RATE_LIMIT_DEFAULT="1000000 per minute"
    ) as server:
        session = requests.Session()

        def ask(path: str) -> int:
            return session.get(server.url + path, headers=headers, timeout=30).status_code

        for _ in range(20):  # every worker knows the user and has asked everything
            assert {ask(path) for path in [*cached, "/content/2"]} == {200}

        for outage in (redis_frozen, redis_stopped):
            with Load(server, headers, [*cached, "/content/2"], 3) as load, outage(place):
                time.sleep(OUTAGE_SECONDS)
            assert set(load.statuses) == {200}, (outage.__name__, load.statuses)
            print(f"{outage.__name__}: {sum(load.statuses.values())} answers, slowest {load.slowest:.3f} s")
            wait_until(lambda: ask("/content/1") == 200 and every_worker_is_back(server))
        assert server.said.count("Redis is away") <= 5 * len(server.workers())  # and not a line a request

        wait_until(lambda: sql("SELECT count(*) AS n FROM library_change")[0]["n"] == 0)  # the notes of the rows above
        for _ in range(10):
            assert {ask(path) for path in cached} == {200}
        with Load(server, headers, cached, 1) as load, Load(server, headers, ["/content?page=3"], 1) as missing:
            with postgres_stopped(place):
                time.sleep(OUTAGE_SECONDS)
                refused = session.get(f"{server.url}/content?page=4", headers=headers, timeout=30)
                assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
            wait_until(lambda: ask("/content?page=2&per_page=7") == 200)
        assert set(load.statuses) == {200}, (load.statuses, what_is_odd(server))
        assert set(missing.statuses) == {200, 503}, (missing.statuses, what_is_odd(server))
        print(f"postgres_stopped: cached: slowest {load.slowest:.3f} s; others: {missing.slowest:.3f} s")
        assert {ask(f"/content?page={number}&per_page=3") for number in range(1, 20)} == {200}


def every_worker_is_back(server: Server) -> bool:
    return 0 < server.said.count("Redis is away") == server.said.count("Redis is back")


def what_is_odd(server: Server) -> str:
    """What the server said beside that PostgreSQL failed a request."""
    return "\n".join(line for line in server.said.splitlines() if "failed a request" not in line)[-4000:]


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BACK_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
