"""``flask dev``: one command serves everything, one Ctrl-C stops it, and a killed run is recovered from."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

COMMAND = [sys.executable, "-m", "flask", "dev"]
IN_BACKGROUND = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]  # what a script's `&` does
START_SECONDS = 60
STOP_SECONDS = 30


def test_it_serves_what_it_prints_and_leaves_nothing_running(tmp_path: Path) -> None:
    with running(tmp_path) as (process, said):
        assert "106 items, 106 of them new" in said
        assert [int(rows) for rows in re.findall(r"curriculum, .*: (\d+) rows, \1 of them new", said)] == [10, 8, 12]
        assert re.search(r"parent 1: .*\n.*parent 2: .*\n.*child 1: ", said)
        command = re.search(r"^  (curl .*)$", said, re.MULTILINE)
        assert command is not None
        answer = subprocess.run([*shlex.split(command[1]), "--silent", "--fail"], capture_output=True, timeout=10)
        assert answer.returncode == 0
        assert b'"subject_area":"math"' in answer.stdout
        told = (tmp_path / "output.txt").read_text()[len(said) :]
        assert "GET /content 200" in told and "subject_area" not in told  # the route, never what was asked
        family = [*psutil.Process(process.pid).children(recursive=True), *servers_below(tmp_path)]
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_SECONDS) == 0
    assert not [member for member in family if member.is_running()]


def test_a_second_start_recovers_from_a_kill(tmp_path: Path) -> None:
    with running(tmp_path) as (process, said):
        url = address(said)
        process.kill()
        process.wait(10)
    assert requests.get(f"{url}/health/live", timeout=5).ok  # its server still holds the port
    with running(tmp_path, port=url.rpartition(":")[2]) as (process, said):
        assert "106 items, 0 of them new" in said
        assert requests.get(f"{url}/health", timeout=5).json()["status"] == "healthy"
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0
    assert not servers_below(tmp_path)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/health/live", timeout=5)


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = ["--instance", str(tmp_path), "--port", str(port)]
        run = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert run.stderr.endswith(f"Error: port {port} is in use; stop what uses it, or choose another with --port\n")
    assert not servers_below(tmp_path)


@contextmanager
def running(instance: Path, port: str | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running ``flask dev`` and all that it printed until it was ready."""
    output = instance / "output.txt"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    arguments = ["--instance", str(instance), "--port", port or free_port()]
    with output.open("w") as sink:
        command = [*IN_BACKGROUND, *COMMAND, *arguments]
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=environment, text=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while "Ctrl-C stops everything" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)
        yield process, output.read_text()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def address(said: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert found is not None
    return found[0]


def servers_below(folder: Path) -> list[psutil.Process]:
    """PostgreSQL and Redis processes that work on data below `folder`."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        names_folder = any(str(folder) in word for word in process.info["cmdline"] or ())
        if process.info["name"] in ("postgres", "redis-server", "valkey-server") and names_folder:
            found.append(process)
    return found


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
