"""A library with files, asked through gunicorn as the project configures it, and inside this process."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers
from werkzeug.test import TestResponse

PROJECT = Path(__file__).parents[2]
HOST = "127.0.0.1"
WAIT_SECONDS = 20


@dataclass(frozen=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Headers
    body: bytes


Ask = Callable[..., Answer]  # ask("/content/x", method="GET", headers={…})


@contextmanager
def gunicorn(settings: Mapping[str, str], log: Path) -> Iterator["Gunicorn"]:
    """gunicorn with the project's configuration on a free port, from before the first request until after the last."""
    with closing(socket.create_server((HOST, 0))) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"]
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    environment = kept | {"HOST": HOST, "PORT": str(port), "WORKERS": "2", "GRACEFUL_TIMEOUT": "3"} | settings
    with log.open("wb") as output:
        master = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=output)
    try:
        _wait_for(port, master, log)
        yield Gunicorn(port, master.pid)
    finally:
        master.send_signal(signal.SIGTERM)
        try:
            master.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            master.kill()
            master.wait()


@dataclass(frozen=True)
class Gunicorn:
    """A running gunicorn: its port, and the process that started its workers."""

    port: int
    pid: int

    def ask(self, target: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to one request on a connection of its own."""
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=WAIT_SECONDS)) as connection:
            connection.request(method, target, headers=dict(headers or {}))
            return _read(connection)

    def ask_in_a_row(self, *requests: tuple[str, str, Mapping[str, str]]) -> list[Answer]:
        """The answers to (method, target, headers), one after the other on one connection."""
        answers = []
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=WAIT_SECONDS)) as connection:
            connection.connect()
            first = connection.sock
            for method, target, headers in requests:
                connection.request(method, target, headers=dict(headers))
                answers.append(_read(connection))
                assert connection.sock is first, "the connection was closed in between"
        return answers

    def send(self, request: bytes) -> bytes:
        """All that comes back for these very bytes."""
        with closing(self.connect()) as connection:
            connection.sendall(request)
            received = []
            while data := connection.recv(65_536):
                received.append(data)
        return b"".join(received)

    def connect(self) -> socket.socket:
        """An open connection, where waiting is bounded."""
        return socket.create_connection((HOST, self.port), timeout=WAIT_SECONDS)

    def open_files(self, name: str) -> int:
        """How many times the workers have a file of this name open."""
        workers = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        entries = [entry for worker in workers for entry in Path(f"/proc/{worker}/fd").iterdir()]
        return sum(entry.is_symlink() and entry.readlink().name == name for entry in entries)


class Reader(FlaskClient):
    """A test client that reads each answer to its end and closes it, as a server does."""

    def open(self, *args: Any, **options: Any) -> TestResponse:
        return super().open(*args, buffered=True, **options)


def reader(app: Flask) -> Reader:
    """A client of `app` that leaves no file open."""
    return Reader(app, app.response_class)


def in_process(app: Flask) -> Ask:
    """The same questions, answered inside this process."""

    def ask(target: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        response = reader(app).open(target, method=method, headers=dict(headers or {}))
        return Answer(response.status_code, Headers(response.headers), response.data)

    return ask


def put_files(folder: Path, files: Mapping[str, bytes], modified: int) -> None:
    """Writes the files below `folder`, last modified then."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (modified, modified))


def _read(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    body = response.read()
    return Answer(response.status, Headers(response.getheaders()), body)


def _wait_for(port: int, master: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end and master.poll() is None:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"gunicorn did not start: {log.read_text(errors='replace')[-2000:]}")
