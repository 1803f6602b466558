"""What real workers do beside their requests."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from library_server.operations.housekeeping import _do
from library_server.web.caching import look_for_changes
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
