"""A restart under load drops no request: new workers, new code, one replica after the other."""

import os
import re
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import flask_migrate
import psutil
import pytest
import requests
from flask import Flask

from tests.conftest import LIMITS, Servers, bearer, make_parent, run_sql
from tests.dropin.conftest import fill, settings_of
from tests.dropin.traffic import ITEM, Traffic, traffic
from tests.nginx import servers as run
from tests.nginx.servers import PROJECT, Server
from tests.uploads.forms import HEADERS, upload_form

WAIT_SECONDS = 30
LARGE = 24 * 1024 * 1024  # more than what sockets hold
REPLACED = "server 127.0.0.1:{} max_fails=0;"
KINDS = ["guide", "shipped"]
MORE = 15  # requests between two events


@dataclass(frozen=True)
class Place:
    """A database, files, an editor, and the folder from which gunicorn runs code of ours that can change."""

    data: Path
    settings: dict[str, str]
    editor: dict[str, str]
    sql: Callable[..., Any]

    def write_code(self, version: str) -> None:
        """wsgi.py, whose every answer names the version from now on."""
        text = (PROJECT / "wsgi.py").read_text()
        text += "\n\n@app.after_request\ndef tell_version(response):\n"
        (self.data / "wsgi.py").write_text(
            text + f"    response.headers['X-Version'] = '{version}'\n    return response\n"
        )

    def serve(self, kind: str, **more: str) -> Any:
        """gunicorn with its settings file; for our own nginx it leaves files to nginx."""
        accelerated = {"USE_X_ACCEL_REDIRECT": "true"} if kind == "shipped" else {}
        return run.gunicorn(self.settings | accelerated | more, self.data, cwd=self.data)

    def nginx(self, kind: str, *servers: Server) -> Any:
        """The guide's nginx, or ours, before these servers."""
        first = servers[0].port
        if kind == "guide":
            return run.nginx(run.guide_config(first, first), self.data)
        key = self.data / "key.json"
        key.write_text('"a key that signs nothing here"')
        config = run.shipped_config(first, first, self.data / "content", self.data / "assets", key)
        lines = "".join(REPLACED.format(server.port) for server in servers)

        def with_replicas(port: int, log: Path) -> str:
            text = config(port, log)
            assert REPLACED.format(first) in text
            return text.replace(REPLACED.format(first), lines)

        return run.nginx(with_replicas, self.data)

    def nothing_is_lost(self, seen: Traffic) -> None:
        """Every request was answered well, and what the answers say was made is there, once."""
        print(f"{seen.answers.total()} requests, {len(seen.dropped)} dropped, slowest {seen.slowest:.2f} s")  # noqa: T201 (for who asks with -s)
        assert seen.dropped == []
        rows = self.sql("SELECT content_id FROM content_library WHERE content_id > %s", (min(seen.made) - 1,))
        assert sorted(row["content_id"] for row in rows) == sorted(seen.made)


@pytest.fixture(scope="module")
def place(servers: Servers, create_database: Callable[..., str], make_app: Callable[..., Flask]) -> Iterator[Place]:
    run.find_nginx()
    url = create_database("backend")
    with make_app(url).app_context():
        flask_migrate.upgrade()
    with tempfile.TemporaryDirectory(prefix="library-restarts-", dir="/tmp") as folder:
        data = Path(folder)
        data.chmod(0o755)
        fill(data)
        with (data / "content" / "large.bin").open("wb") as large:
            large.truncate(LARGE)
        shutil.copy(PROJECT / "gunicorn.conf.py", data)
        limits = {f"RATE_LIMIT_{name}": "1000000 per minute" for name in LIMITS}
        settings = settings_of(data, url, servers.redis_url) | limits | {"WORKERS": "2", "GRACEFUL_TIMEOUT": "20"}
        sql = partial(run_sql, url)
        made = Place(data, settings, bearer(user_id=make_parent(sql), user_type="parent"), sql)
        made.write_code("first")
        yield made


@pytest.mark.parametrize("kind", KINDS)
def test_new_workers_and_new_code_come_without_a_lost_request(place: Place, kind: str) -> None:
    place.write_code("first")
    with (
        place.serve(kind) as server,
        place.nginx(kind, server) as nginx,
        _upgraded(server),
        traffic(nginx.url, place.editor) as seen,
    ):
        seen.wait_for(MORE)
        old = set(_workers(server.pid))
        place.write_code("second")
        os.kill(server.pid, signal.SIGHUP)
        _until(lambda: len(_workers(server.pid)) == 2 and not old & set(_workers(server.pid)))
        seen.wait_for(MORE)
        assert _version(nginx) == "first"  # HUP replaces the workers, not the code
        if kind == "guide":
            (place.data / "wsgi.py").write_text("raise RuntimeError('this release does not start')\n")
            os.kill(server.pid, signal.SIGUSR2)
            _until(lambda: "this release does not start" in server.errors.read_text())
            _until(lambda: len(psutil.Process(server.pid).children()) == 2)
            assert _version(nginx) == "first"
            place.write_code("second")
        os.kill(server.pid, signal.SIGUSR2)
        _until(lambda: len(_masters(server)) == 2 and len(_workers(_masters(server)[-1])) == 2)
        os.kill(server.pid, signal.SIGTERM)
        _until(lambda: psutil.Process(server.pid).status() == psutil.STATUS_ZOMBIE)
        seen.wait_for(MORE)
        assert _version(nginx) == "second"
    place.nothing_is_lost(seen)


def test_two_replicas_restart_one_after_the_other(place: Place) -> None:
    with ExitStack() as stack:
        stacks = [stack.enter_context(ExitStack()) for _ in range(2)]
        servers = [each.enter_context(place.serve("shipped")) for each in stacks]
        nginx = stack.enter_context(place.nginx("shipped", *servers))
        with traffic(nginx.url, place.editor) as seen:
            for each, server in zip(stacks, servers, strict=True):
                seen.wait_for(MORE)
                each.close()
                seen.wait_for(MORE)
                each.enter_context(place.serve("shipped", PORT=str(server.port)))
            seen.wait_for(MORE)
    place.nothing_is_lost(seen)


def test_a_running_upload_and_a_slow_download_finish(place: Place) -> None:
    place.write_code("first")
    with place.serve("guide") as server:
        for told in (signal.SIGHUP, signal.SIGTERM):
            with _half_an_upload(server, place.editor) as upload, _slow_download(server, place.editor) as download:
                time.sleep(0.3)  # now both are with a worker
                old = set(_workers(server.pid))
                os.kill(server.pid, told)
                if told == signal.SIGHUP:
                    _until(lambda: len(set(_workers(server.pid)) - old) == 2)  # noqa: B023
                    assert requests.get(f"{server.url}/health/live", timeout=5).ok
                else:
                    _until(lambda: _refuses(server.port))  # at once, so that a proxy goes elsewhere
                assert download.read_on() == LARGE
                assert upload.finish() == 201


@dataclass
class _Upload:
    connection: socket.socket
    rest: bytes

    def finish(self) -> int:
        """The status of the answer."""
        self.connection.sendall(self.rest)
        return int(self.connection.makefile("rb").readline().split()[1])


@contextmanager
def _half_an_upload(server: Server, headers: dict[str, str]) -> Iterator[_Upload]:
    body = upload_form(os.urandom(16).hex().encode() * 20_000, "half.txt", ITEM)
    half = len(body) // 2
    with _sent(
        server, "POST /api/content/upload", headers | HEADERS | {"Content-Length": str(len(body))}
    ) as connection:
        connection.sendall(body[:half])
        yield _Upload(connection, body[half:])


@dataclass
class _Download:
    connection: socket.socket

    def read_on(self) -> int:
        """How many bytes the body has."""
        head, _, body = self.connection.recv(65536).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        count = len(body)
        while chunk := self.connection.recv(1 << 20):
            count += len(chunk)
        return count


@contextmanager
def _slow_download(server: Server, headers: dict[str, str]) -> Iterator[_Download]:
    with _sent(server, "GET /content/large.bin", headers | {"Connection": "close"}) as connection:
        yield _Download(connection)


@contextmanager
def _sent(server: Server, request: str, headers: dict[str, str]) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS) as connection:
        lines = [f"{request} HTTP/1.1", "Host: library", *(f"{name}: {value}" for name, value in headers.items())]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        yield connection


def _version(nginx: Server) -> str | None:
    return requests.get(f"{nginx.url}/api/content/health/live", timeout=10).headers.get("X-Version")


def _workers(master: int) -> list[int]:
    """The processes that answer: not those that inspect an upload, nor the dead, whose command is empty."""
    with suppress(psutil.NoSuchProcess):
        kids = psutil.Process(master).children()
        return [kid.pid for kid in kids if "gunicorn" in " ".join(kid.cmdline())]
    return []


def _masters(server: Server) -> list[int]:
    return [int(pid) for pid in re.findall(r"Listening at: \S+ \((\d+)\)", server.errors.read_text())]


@contextmanager
def _upgraded(server: Server) -> Iterator[None]:
    """Ends the new master with the old one."""
    try:
        yield
    finally:
        for pid in set(_masters(server)) - {server.pid}:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                process.terminate()
                process.wait(WAIT_SECONDS)


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


def _until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)
