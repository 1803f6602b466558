"""What real workers do beside their requests."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

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


def soon(done: Callable[[], bool]) -> None:
    """Waits until it is so."""
    deadline = time.monotonic() + SOON_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)
