"""Where gunicorn's workers run, and who takes a connection."""

import logging
import os
import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from gunicorn.config import Config
from gunicorn.sock import TCPSocket

from library_server.operations import serving
from library_server.operations.serving import Worker
from tests.conftest import SECRET, Servers
from tests.files.serving import HOST, gunicorn

CORES = sorted(os.sched_getaffinity(0))
MANY = 40  # connections
WAIT_SECONDS = 20


@pytest.fixture(scope="module")
def settings(create_database: Any, servers: Servers) -> dict[str, str]:
    return {"DATABASE_URL": create_database("empty"), "REDIS_URL": servers.redis_url, "SECRET_KEY": SECRET}


@pytest.fixture
def serve(settings: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """``serve(WORKERS="4")``: gunicorn with these settings, until the test has ended."""
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(gunicorn(settings | more, tmp_path / "log"))


def cores_of(master: int, workers: int) -> dict[int, list[int]]:
    """The cores of each worker by its process id, once there are so many and each has settled."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        children = psutil.Process(master).children()
        cores = {child.pid: child.cpu_affinity() for child in children}
        settled = len(cores) == workers and all(len(found) == 1 or len(CORES) == 1 for found in cores.values())
        if settled or time.monotonic() > deadline:
            return cores
        time.sleep(0.05)


def fairly(cores: dict[int, list[int]]) -> list[int]:
    """How many workers each core has."""
    return sorted(Counter(core for found in cores.values() for core in found).values())


def test_each_worker_stays_on_a_core_and_so_does_the_one_in_its_place(serve: Callable[..., Any]) -> None:
    workers = 2 * len(CORES)
    server = serve(WORKERS=str(workers))
    before = cores_of(server.pid, workers)
    assert fairly(before) == [2] * len(CORES)
    killed = next(iter(before))
    psutil.Process(killed).kill()
    while killed in (after := cores_of(server.pid, workers)):
        time.sleep(0.05)
    assert fairly(after) == [2] * len(CORES)
    assert sorted(psutil.Process(server.pid).cpu_affinity()) == CORES  # what it starts anew chooses again


def test_who_wants_it_lets_the_kernel_choose(serve: Callable[..., Any]) -> None:
    server = serve(CPU_AFFINITY="false")
    assert server.ask("/health/live").status == 200
    assert all(sorted(child.cpu_affinity()) == CORES for child in psutil.Process(server.pid).children())


def test_servers_beside_each_other_choose_any_core_and_none_where_time_is_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert {serving.core_beside([]) for _ in range(200)} == set(CORES)
    monkeypatch.setattr(serving, "usable_cores", lambda: len(CORES) - 1)
    assert serving.core_beside([]) is None


def test_nobody_waits_for_a_worker_that_is_busy_while_another_is_not(serve: Callable[..., Any]) -> None:
    server = serve(WORKERS="2", THREADS="1")
    with ExitStack() as stack, closing(socket.create_connection((HOST, server.port))) as slow:
        slow.sendall(b"GET /health/live HTTP/1.1\r\n")  # and not another byte: a thread waits
        time.sleep(0.5)
        others = [stack.enter_context(closing(socket.create_connection((HOST, server.port)))) for _ in range(MANY)]
        for other in others:
            other.settimeout(WAIT_SECONDS)
            other.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert all(b" 200 " in other.recv(100) for other in others)


def test_nobody_waits_for_as_long_as_others_go_on_asking(serve: Callable[..., Any], tmp_path: Path) -> None:
    server = serve(WORKERS="1", THREADS="1", RATE_LIMIT_ANONYMOUS="100000 per minute")
    request, times = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n", 150
    with ExitStack() as stack:
        busy = [stack.enter_context(closing(socket.create_connection((HOST, server.port)))) for _ in range(8)]
        for each in busy:
            each.sendall(request.format("/content/subjects").encode() * times)  # there is always a next one
        with closing(socket.create_connection((HOST, server.port), WAIT_SECONDS)) as newcomer:
            newcomer.sendall(request.format("/content/age-ranges").encode())
            assert newcomer.recv(100)
        for each in busy:
            each.settimeout(WAIT_SECONDS)
            answers = b""
            while answers.count(b"HTTP/1.1 401") < times:
                answers += each.recv(1_000_000)
    routes = re.findall(r'"route":"([^"]+)"', (tmp_path / "log").read_text())
    assert routes.index("/content/age-ranges") < len(routes) / 2


def test_a_full_worker_that_is_told_to_stop_stops_once() -> None:
    """It was about to take nobody else, because it is full; then it takes nobody else, because it stops."""
    opened, settings, log = socket.create_server((HOST, 0)), Config(), logging.getLogger()
    worker = Worker(1, 0, [TCPSocket((HOST, 0), settings, log, fd=opened.detach())], None, 1, settings, log)
    worker.poller = selectors.DefaultSelector()
    worker.set_accept_enabled(True)
    worker.alive = False
    with closing(worker.tmp), closing(worker.poller):
        for _ in range(2):
            worker.set_accept_enabled(False)
    assert worker.sockets[0].sock is None
