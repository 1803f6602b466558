"""Uploads to a real gunicorn: bodies as they come, clients and workers that vanish, disks that fill up."""

import json
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
import redis as redis_py
import requests
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from library_server.extensions import db
from tests.conftest import Servers
from tests.uploads.faults import blocked, read_only, wait_for
from tests.uploads.folders import Folders, sha256
from tests.uploads.forms import HEADERS, ITEM, field, file, upload_form
from tests.uploads.server import PATH, Server, answer_on, running

MIB = 1024 * 1024
LARGE = 100 * MIB
LIMIT = 2 * MIB
WORDS = upload_form(b"words " * 300_000, "x.txt", ITEM)
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


def test_a_body_in_chunks_is_taken(server: Server, as_parent: dict[str, str]) -> None:
    answer = server.post(pieces(WORDS, 1000), as_parent)
    assert (answer.status_code, answer.json()["sha256"]) == (201, sha256(b"words " * 300_000))
    assert server.folders.waiting() == []


@pytest.mark.parametrize("size", [LIMIT + 1, 3 * LIMIT, 20 * LIMIT], ids=["a byte", "twice", "much"])
@pytest.mark.parametrize("chunked", [True, False], ids=["in chunks", "with a length"])
def test_a_body_past_the_limit_is_told_so(chunked: bool, size: int, server: Server, as_parent: dict[str, str]) -> None:
    body = upload_form(b"w" * size, "x.txt", ITEM)
    answer = server.post(pieces(body, MIB) if chunked else body, as_parent)
    assert (answer.status_code, answer.json()) == (413, {"message": "File too large"})
    assert left_in(server) == ([], [])


def test_a_body_that_never_ends_is_stopped(server: Server, as_parent: dict[str, str]) -> None:
    connection = server.begin(as_parent, "chunked")
    sent = 0
    with connection, pytest.raises(ConnectionError):
        connection.sendall(chunk(field("title", "x") + file(b"", "x.txt")[:-2]))
        while sent < 200 * MIB:
            connection.sendall(chunk(b"w" * MIB))
            sent += MIB
    assert wait_for(lambda: left_in(server) == ([], []))
    assert requests.get(f"{server.url}/health/live", timeout=10).ok


@pytest.mark.parametrize(
    ("length", "sent"),
    [(len(WORDS), 100_000), (len(WORDS) + 100_000, len(WORDS) - 50), (len(WORDS) - 100_000, len(WORDS))],
    ids=["half of it comes", "the length is far too long", "the length is too short"],
)
def test_a_length_that_lies_is_a_bad_request(length: int, sent: int, server: Server, as_parent: dict[str, str]) -> None:
    with server.begin(as_parent, length) as connection:
        connection.sendall(WORDS[:sent])
        connection.shutdown(socket.SHUT_WR)
        status, body = answer_on(connection)
    assert (status, bool(json.loads(body)["message"])) == (400, True)
    assert left_in(server) == ([], [])


def test_chunks_that_are_broken_are_a_bad_request(server: Server, as_parent: dict[str, str]) -> None:
    answers = {}
    for end in (b"", b"5\r\nwo", b"zz\r\nwords\r\n", b"5\r\nwords and more\r\n", b"-5\r\n", b"5;=\r\nwords\r\n"):
        with server.begin(as_parent, "chunked") as connection:
            connection.sendall(chunk(WORDS[:100_000]) + end)
            connection.shutdown(socket.SHUT_WR)
            status, body = answer_on(connection)
        answers[end] = status, bool(json.loads(body)["message"])
    assert left_in(server) == ([], [])
    assert set(answers.values()) == {(400, True)}, answers
    assert "Traceback" not in server.said


@pytest.mark.parametrize("how", ["closes", "resets"])
@pytest.mark.parametrize("length", [len(WORDS), "chunked"], ids=["with a length", "in chunks"])
def test_a_client_that_vanishes_leaves_nothing(
    length: int | str, how: str, server: Server, as_parent: dict[str, str]
) -> None:
    connection = server.begin(as_parent, length)
    connection.sendall(chunk(WORDS[:1_500_000]) if length == "chunked" else WORDS[:1_500_000])
    wait_for(server.folders.waiting)
    if how == "resets":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    connection.close()
    assert wait_for(lambda: left_in(server) == ([], []))
    assert server.post(WORDS, as_parent).status_code == 201


def test_a_client_that_vanishes_past_the_limit_is_no_error_of_ours(server: Server, as_parent: dict[str, str]) -> None:
    for end in (b"", b"zz\r\n"):
        with server.begin(as_parent, "chunked") as connection:
            connection.sendall(chunk(upload_form(b"w" * 2 * LIMIT, "x.txt", ITEM)[:-100]) + end)
            connection.shutdown(socket.SHUT_WR)
            assert answer_on(connection)[0] in (400, 413)
    assert left_in(server) == ([], [])
    assert "Traceback" not in server.said


def test_a_client_that_does_not_wait_for_the_answer_gets_its_item(
    server: Server, as_parent: dict[str, str], sql: Callable[..., Any]
) -> None:
    with server.begin(as_parent, len(WORDS)) as connection:
        connection.sendall(WORDS)
    rows = wait_for(lambda: sql("SELECT file_path FROM content_library"))
    assert wait_for(lambda: left_in(server) == ([rows[0]["file_path"]], []))


def test_refusals_reach_a_client_that_is_still_sending(server: Server, as_child: dict[str, str]) -> None:
    body = upload_form(b"w" * 20 * MIB, "x.txt", ITEM)
    for headers, status in (({}, 401), (as_child, 403)):
        answer = server.post(body, headers)
        assert (answer.status_code, bool(answer.json()["message"])) == (status, True)
    assert left_in(server) == ([], [])


def test_no_transaction_waits_for_a_slow_client(
    server: Server, as_parent: dict[str, str], sql: Callable[..., Any]
) -> None:
    with server.begin(as_parent, len(WORDS)) as connection:
        connection.sendall(WORDS[:1_500_000])
        wait_for(server.folders.waiting)
        states = sql("SELECT state FROM pg_stat_activity WHERE datname = current_database()")
        assert "idle in transaction" not in [row["state"] for row in states]
        connection.sendall(WORDS[1_500_000:])
        assert answer_on(connection)[0] == 201


@pytest.mark.parametrize("title", ["The same", None], ids=["one title", "their names' titles"])
def test_the_same_bytes_at_once_are_kept_once(
    title: str | None, server: Server, as_parent: dict[str, str], sql: Callable[..., Any]
) -> None:
    fields = ITEM if title is None else ITEM | {"title": title}
    bodies = [upload_form(b"words", f"name {number}.txt", fields) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: server.post(body, as_parent), bodies))
    assert [answer.status_code for answer in answers] == [201] * 8
    told = [answer.json() for answer in answers]
    assert sorted(each["duplicate"] for each in told) == [False] + [True] * 7
    rows = sql("SELECT file_path FROM content_library")
    assert len(rows) == (8 if title is None else 1)
    assert len({each["content_id"] for each in told}) == len(rows)
    assert {each["file_path"] for each in told} == {row["file_path"] for row in rows}
    assert left_in(server) == ([told[0]["file_path"]], [])


def test_different_bytes_at_once_are_all_kept(
    server: Server, as_parent: dict[str, str], sql: Callable[..., Any]
) -> None:
    bodies = [upload_form(f"words {number}".encode(), "x.txt", ITEM) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: server.post(body, as_parent), bodies))
    assert [answer.status_code for answer in answers] == [201] * 8
    paths = sorted(answer.json()["file_path"] for answer in answers)
    assert sorted(row["file_path"] for row in sql("SELECT file_path FROM content_library")) == paths
    assert left_in(server) == (paths, [])


def test_what_a_killed_worker_was_receiving_is_swept(
    server: Server, as_parent: dict[str, str], sweep: Callable[[], Result]
) -> None:
    with server.begin(as_parent, len(WORDS)) as connection:
        connection.sendall(WORDS[:1_500_000])
        wait_for(server.folders.waiting)
        server.handler().send_signal(signal.SIGKILL)
        assert connection.recv(1) == b""
    assert len(server.folders.waiting()) == 1
    assert "1 leftovers removed, 0 broken uploads taken back." in sweep().output
    assert left_in(server) == ([], [])
    assert server.post(WORDS, as_parent).status_code == 201


def test_a_crash_between_the_file_and_its_row_is_swept(
    server: Server,
    as_parent: dict[str, str],
    database_url: str,
    sql: Callable[..., Any],
    sweep: Callable[[], Result],
) -> None:
    crash_between_file_and_row(server, as_parent, database_url)
    assert len(server.folders.kept()) == 1
    assert "1 broken uploads taken back." in sweep().output
    assert left_in(server) == ([], [])
    assert sql("SELECT count(*) FROM content_library")[0]["count"] == 0


def test_an_upload_that_is_tried_again_after_a_crash_stays(
    server: Server,
    as_parent: dict[str, str],
    database_url: str,
    sql: Callable[..., Any],
    sweep: Callable[[], Result],
) -> None:
    crash_between_file_and_row(server, as_parent, database_url)
    answer = server.post(WORDS, as_parent)
    assert answer.status_code == 201
    assert "0 broken uploads taken back." in sweep().output
    assert left_in(server) == ([answer.json()["file_path"]], [])
    assert sql("SELECT count(*) FROM content_library")[0]["count"] == 1


def test_a_large_file_costs_no_memory(
    database_url: str, servers: Servers, as_parent: dict[str, str], sql: Callable[..., Any]
) -> None:
    """LARGE bytes in, and no worker has ever had 30 MiB more than before."""
    with (
        TemporaryDirectory() as folder,
        running(Folders.below(Path(folder)), database_url, servers.redis_url, MAX_UPLOAD_SIZE=2 * LARGE) as server,
    ):
        for _ in range(4):
            assert server.post(WORDS, as_parent).status_code == 201  # both workers have now imported everything
        before = {worker.pid: peak_memory(worker) for worker in server.workers()}
        answer = server.post(large_form(), as_parent)
        assert (answer.status_code, answer.json()["size"]) == (201, LARGE)
        for worker in server.workers():
            assert peak_memory(worker) - before[worker.pid] < 30 * MIB


def test_a_full_disk_is_told_and_leaves_nothing(
    small_disk: Path, database_url: str, servers: Servers, as_parent: dict[str, str], sql: Callable[..., Any]
) -> None:
    folders = Folders.below(small_disk)
    with running(folders, database_url, servers.redis_url) as server:
        body = upload_form(b"w" * 8 * MIB, "x.txt", ITEM)
        for data in (body, pieces(body, MIB)):
            answer = server.post(data, as_parent)
            assert (answer.status_code, bool(answer.json()["message"])) == (507, True)
            assert left_in(server) == ([], [])
        assert server.post(WORDS, as_parent).status_code == 201
    assert sql("SELECT count(*) FROM content_library")[0]["count"] == 1


@pytest.mark.parametrize("fields", [{}, ITEM], ids=["a file", "an item"])
def test_a_full_content_disk_is_told_and_leaves_nothing(
    fields: dict[str, str],
    small_disk: Path,
    serve: Callable[..., FlaskClient],
    as_parent: dict[str, str],
    sql: Callable[..., Any],
    folders: Folders,
) -> None:
    """The upload fits where it waits, and not where it shall stay."""
    content = small_disk / "content"
    client = serve(CONTENT_STORAGE_PATH=str(content))
    answer = client.post(PATH, data=upload_form(b"w" * 6 * MIB, "x.txt", fields), headers=as_parent | HEADERS)
    assert (answer.status_code, bool(answer.json["message"])) == (507, True)
    assert (Folders(content, folders.uploads).kept(), folders.waiting()) == ([], [])
    assert sql("SELECT count(*) FROM content_library")[0]["count"] == 0


@pytest.mark.parametrize("fields", [{}, ITEM], ids=["a file", "an item"])
def test_a_disk_that_is_full_to_the_last_byte_is_told_and_leaves_nothing(
    fields: dict[str, str], small_disk: Path, serve: Callable[..., FlaskClient], as_parent: dict[str, str]
) -> None:
    """Nor does it cost others a file: other bytes with the same eight digits stand in the place of the upload."""
    folders = Folders.below(small_disk)
    folders.uploads.mkdir()
    other = folders.put("documents/other.txt", b"other bytes")
    data = b"w" * (os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize)
    other = other.rename(other.with_name(f"x-{sha256(data)[:8]}.txt"))
    client = serve(**folders.settings)
    answer = client.post(PATH, data=upload_form(data, "x.txt", fields), headers=as_parent | HEADERS)
    assert answer.status_code in (201, 507)
    assert folders.waiting() == []
    assert other.read_bytes() == b"other bytes"
    assert len(folders.kept()) == 1 + (answer.status_code == 201)


def test_content_may_be_on_another_disk(
    small_disk: Path, serve: Callable[..., FlaskClient], as_parent: dict[str, str], folders: Folders
) -> None:
    content = Folders(small_disk / "content", folders.uploads)
    client = serve(CONTENT_STORAGE_PATH=str(content.content))
    answers = [client.post(PATH, data=WORDS, headers=as_parent | HEADERS) for _ in range(2)]
    assert [(answer.status_code, answer.json["duplicate"]) for answer in answers] == [(201, False), (201, True)]
    path = answers[0].json["file_path"]
    assert (content.kept(), content.waiting()) == ([path], [])
    assert (content.content / path).stat().st_mode & 0o777 == 0o644
    with client.get(answers[0].json["access_url"]) as served:
        assert served.data == b"words " * 300_000


@pytest.fixture
def shape() -> str:
    """One starting database: what is tried here happens outside of it."""
    return "backend"


@pytest.fixture(scope="module")
def shared_server(
    migrated: Callable[[str], str], servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that takes files of up to LIMIT bytes."""
    folders = Folders.below(tmp_path_factory.mktemp("served"))
    with running(folders, migrated("backend"), servers.redis_url, MAX_UPLOAD_SIZE=LIMIT) as server:
        yield server


@pytest.fixture
def server(shared_server: Server, database_url: str, redis: redis_py.Redis) -> Server:
    """The server, with empty tables, an empty Redis and empty folders."""
    for folder in (shared_server.folders.content, shared_server.folders.uploads):
        for path in folder.rglob("*"):
            if path.is_file():
                path.unlink()
    return shared_server


@pytest.fixture
def sweep(server: Server, database_url: str, make_app: Callable[..., Flask]) -> Iterator[Callable[[], Result]]:
    """``sweep()``: `flask library sweep --older-than 0` on the server's folders."""
    app = make_app(database_url, **server.folders.settings)
    yield lambda: app.test_cli_runner().invoke(args=["library", "sweep", "--older-than", "0"])
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode != 0:
        reason = f"a small file system cannot be mounted: {mounted.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(f"{reason} (run as root)")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def left_in(server: Server) -> tuple[list[str], list[str]]:
    """Every file that is kept, and every one that waits."""
    return server.folders.kept(), server.folders.waiting()


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def large_form() -> Iterator[bytes]:
    """The body of an upload of LARGE bytes, piece by piece."""
    head, _, tail = upload_form(b"@", "x.txt", {}).partition(b"@")
    return chain([head], repeat(b"words..\n" * (MIB // 8), LARGE // MIB), [tail])


def chunk(data: bytes) -> bytes:
    """`data` as one chunk (RFC 9112, section 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def crash_between_file_and_row(server: Server, headers: dict[str, str], database_url: str) -> None:
    """Kills the worker that has put the file and waits to write the row."""
    with read_only(database_url), server.begin(headers, len(WORDS)) as client:
        client.sendall(WORDS)
        wait_for(lambda: blocked(database_url))
        server.handler().send_signal(signal.SIGKILL)
        assert client.recv(1) == b""


def peak_memory(worker: psutil.Process) -> int:
    """The most bytes that the worker has had in memory."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.parametrize(
    ("head", "status", "message"),
    [
        (b"GET /content HTTP/1.1\r\nHost: x\r\nX-Large: " + b"<b>" * 5000, 431, "Request header fields too large"),
        (b"GET /content HTTP/1.1\r\n" + b"X: y\r\n" * 200, 431, "Request header fields too large"),
        (b"GET /content?q=" + b"x" * 9000 + b" HTTP/1.1\r\n", 414, "Uri too long"),
        (b"<script> nonsense", 400, "Bad request"),
        (b"GET /content HTTP/1.1\r\nBad Header: <script>\r\n", 400, "Bad request"),
    ],
)
def test_what_gunicorn_cannot_read_is_refused_in_json(server: Server, head: bytes, status: int, message: str) -> None:
    with server.connect() as connection:
        connection.sendall(head + b"\r\n\r\n")
        answer = answer_on(connection)
    assert (answer[0], json.loads(answer[1])) == (status, {"message": message})
