"""A real server: the project's gunicorn with its own settings file, on a free port of this machine."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.conftest import SECRET
from tests.uploads.folders import Folders
from tests.uploads.forms import HEADERS

PROJECT = Path(__file__).parents[2]
PATH = "/api/content/upload"
START_SECONDS = 40


@dataclass(frozen=True)
class Server:
    """A running gunicorn."""

    port: int
    process: psutil.Process
    folders: Folders
    log: Path

    @property
    def said(self) -> str:
        """All that it wrote to its log."""
        return self.log.read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        return self.process.children()

    def post(self, body: Any, headers: dict[str, str]) -> requests.Response:
        """The answer to an upload; a body without a length is sent in chunks."""
        return requests.post(self.url + PATH, data=body, headers=HEADERS | headers, timeout=60)

    def connect(self) -> socket.socket:
        """A connection, for those who speak HTTP badly."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def begin(self, headers: dict[str, str], length: int | str) -> socket.socket:
        """A connection on which an upload's head was sent; `length`: of its body, or ``chunked``."""
        size = {"Transfer-Encoding": "chunked"} if length == "chunked" else {"Content-Length": str(length)}
        lines = [f"POST {PATH} HTTP/1.1", "Host: library", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (HEADERS | headers | size).items()]
        connection = self.connect()
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection

    def handler(self) -> psutil.Process:
        """The worker that is receiving the one upload that is going on."""
        waiting = [self.folders.uploads / name for name in self.folders.waiting()]
        for worker in self.workers():
            if any(Path(file.path) in waiting for file in worker.open_files()):
                return worker
        raise LookupError


@contextmanager
def running(folders: Folders, database_url: str, redis_url: str, **settings: object) -> Iterator[Server]:
    """Two workers on these folders, until the context is left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "SECRET_KEY": SECRET, "HOST": "127.0.0.1"}
    # gunicorn's worker that is told to stop while it starts does not hear it, and is killed after this time
    told |= {"PORT": port, "WORKERS": 2, "GRACEFUL_TIMEOUT": 10} | folders.settings | settings
    environment = os.environ | {name: str(value) for name, value in told.items()}
    with tempfile.NamedTemporaryFile() as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "gunicorn"], cwd=PROJECT, env=environment, stdout=log, stderr=log
        )
        server = Server(port, psutil.Process(child.pid), folders, Path(log.name))
        try:
            _wait_until_it_answers(server, child)
            yield server
        finally:
            _stop(server, child)


def answer_on(connection: socket.socket) -> tuple[int, bytes]:
    """The status and the body of the answer on this connection."""
    with HTTPResponse(connection) as response:
        response.begin()
        return response.status, response.read()


def _wait_until_it_answers(server: Server, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert child.poll() is None, server.said
        assert time.monotonic() < deadline, server.said
        try:
            if requests.get(f"{server.url}/health/live", timeout=5).ok and len(server.workers()) == 2:
                return
        except requests.ConnectionError:
            time.sleep(0.05)


def _stop(server: Server, child: subprocess.Popen[bytes]) -> None:
    family = server.process.children(recursive=True)
    child.send_signal(signal.SIGQUIT)  # which to gunicorn means at once
    try:
        child.wait(20)
    finally:
        for member in (*family, server.process):
            if member.is_running():
                member.kill()
        child.wait(20)
