"""What real workers do beside their requests."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from library_server.metrics import metrics
from library_server.operations.housekeeping import _do, _push
from library_server.shared.gate import RedisAway
from library_server.usage.counting import COUNTS, tally
from library_server.web.changes import look_for_changes
from tests.conftest import Servers
from tests.uploads.folders import Folders
from tests.uploads.server import running

pytestmark = pytest.mark.parametrize("shape", ["backend"])
SOON_SECONDS = 10


def test_counts_and_writes_of_others_are_looked_after(
    database_url: str, servers: Servers, redis: Any, tmp_path: Path, as_parent: Any, make_item: Any, sql: Any
) -> None:
    item = make_item(title="before")
    times = {"USAGE_FLUSH_SECONDS": 1, "CACHE_POLL_SECONDS": 0.5}
    with running(Folders.below(tmp_path), database_url, servers.redis_url, **times) as server:

        def view() -> Any:
            answer = requests.get(f"{server.url}/content/{item}", headers=as_parent, timeout=10)
            assert answer.status_code == 200
            return answer.json()["content"]

        for _ in range(10):
            assert view()["title"] == "before"
        soon(lambda: sql("SELECT usage_count AS n FROM content_library")[0]["n"] == 10)
        soon(lambda: view()["usage_count"] >= 10)
        sql("UPDATE content_library SET title = 'after'")
        soon(lambda: view()["title"] == "after")
        soon(lambda: sql("SELECT count(*) FROM library_moved") == [{"count": 0}])


def test_a_worker_that_stops_hands_over_what_it_has_counted(
    database_url: str, servers: Servers, redis: Any, tmp_path: Path, as_parent: Any, make_item: Any
) -> None:
    item = make_item()
    times = {"USAGE_FLUSH_SECONDS": 3600, "CACHE_POLL_SECONDS": 0}
    with running(Folders.below(tmp_path), database_url, servers.redis_url, **times) as server:
        for _ in range(10):
            assert requests.get(f"{server.url}/content/{item}", headers=as_parent, timeout=10).status_code == 200
        for worker in server.workers():
            worker.terminate()
            worker.wait(30)
        assert sum(map(int, redis.hvals("library:usage:counts"))) == 10


def test_where_commands_do_the_rest_counts_still_leave_the_worker(
    database_url: str, servers: Servers, redis: Any, tmp_path: Path, as_parent: Any, make_item: Any, sql: Any
) -> None:
    path = f"/content/{make_item()}"
    times = {"USAGE_FLUSH_SECONDS": 0, "CACHE_POLL_SECONDS": 0}
    with running(Folders.below(tmp_path), database_url, servers.redis_url, **times) as server:
        assert requests.get(server.url + path, headers=as_parent, timeout=10).status_code == 200
        soon(lambda: redis.hvals(COUNTS) == [b"1"])
        soon(lambda: sql("SELECT count(*) FROM library_moved") == [{"count": 0}])  # of lists
    assert sql("SELECT coalesce(usage_count, 0) AS n FROM content_library") == [{"n": 0}]  # not yet flushed


def test_a_job_that_no_outage_explains_is_said_once_until_it_works(app: Any, sql: Any, caplog: Any) -> None:
    """Here a table is not there."""

    def failures() -> list[str]:
        return [record.getMessage() for record in caplog.records if "failed in PostgreSQL" in record.getMessage()]

    sql("ALTER TABLE library_change RENAME TO elsewhere")
    try:
        for _ in range(3):
            _do(app, look_for_changes)
    finally:
        sql("ALTER TABLE elsewhere RENAME TO library_change")
    assert [line.split(" (")[0] for line in failures()] == ["look_for_changes failed in PostgreSQL: UndefinedTable"]
    _do(app, look_for_changes)
    assert len(failures()) == 1


def soon(done: Callable[[], bool]) -> None:
    """Waits until it is so."""
    deadline = time.monotonic() + SOON_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_redis_did_not_take_is_pushed_again_though_nothing_is_counted_since(app: Any, redis: Any) -> None:
    gate = app.extensions["library_redis"]
    run = gate.run
    tally(app).add("view", 1)

    def refuse(_: object) -> None:
        raise RedisAway

    gate.run = refuse
    _do(app, _push)
    gate.run = run
    _do(app, _push)
    assert redis.hvals(COUNTS) == [b"1"]
    with app.app_context():
        assert metrics().usage_in_workers._value.get() == 0


def test_where_there_is_no_thread_to_be_had_the_next_request_tries_again(
    make_app: Any, database_url: str, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []
    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "library-housekeeping":
            tries.append(thread.name)
            if len(tries) == 1:
                raise RuntimeError("can't start new thread")
        else:
            begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    client = make_app(database_url, USAGE_FLUSH_SECONDS=3600).test_client()
    for _ in range(3):
        assert client.get("/content").status_code == 401
    assert len(tries) == 2
