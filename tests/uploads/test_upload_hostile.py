"""Uploads that mean harm, and servers that fail in the middle: names, bytes, databases."""

import errno
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event
from werkzeug.test import TestResponse

from library_server.catalog.services import item_changed
from library_server.extensions import db
from tests.conftest import Servers
from tests.uploads import samples
from tests.uploads.faults import blocked, closed_to_all, read_only, refusing, unreadable, wait_for
from tests.uploads.folders import Folders, sha256
from tests.uploads.forms import ITEM

Upload = Callable[..., TestResponse]
BOUNDED_SECONDS = 15
NAMES = [
    *(
        "../../x.txt",
        "/etc/cron.d/x.txt",
        "C:\\Windows\\x.txt",
        "\\\\host\\share\\x.txt",
        "..txt.txt",
        "....txt",
        "-rf.txt",
    ),
    *(".hidden.txt", "  x  .txt", "x%2e%2e%2fy.txt", "NUL.txt", "com1.TXT", "x:y.txt", "$(id).txt", "`id`;x.txt"),
    *(
        '"<script>alert(1)</script>".txt',
        "x.exe.txt",
        "x.html\0.txt",
        "\0.txt",
        "x\r\nSet-Cookie: a=b.txt",
        "x\x7fy.txt",
    ),
    *("日本語.txt", "مرحبا.txt", "🕷️🕸️.txt", "\u202etxt.exe.txt", "\ufeffx.txt", "e\u0301.txt", ".partial-x.txt"),
    *("x" * 5000 + ".txt", "é" * 3000 + ".txt", "a/" * 2000 + "x.txt", "x.txt" * 900, "{{7*7}}%s%n.txt"),
]
TITLES = {
    "The Itsy Bitsy Spider.txt": "The Itsy Bitsy Spider",
    r"C:\\Users\\Pat\\spider.txt": "spider",
    "/home/pat/spider.v2.txt": "spider.v2",
    "  two\t words .TXT": "two words",
    "日本語 🕷.txt": "日本語 🕷",
    "x" * 300 + ".txt": "x" * 200,
}
SCRIPT = b"*/=1;alert(document.cookie)/*<script>alert(1)</script>"
BEHIND = {
    "a GIF and a script": ("gif", samples.genuine("gif") + SCRIPT),
    "a JPEG and a script": ("jpg", samples.genuine("jpg") + SCRIPT),
    "a PNG and a page": ("png", samples.png() + SCRIPT),
    "an MP3 and a page in its tag": ("mp3", samples.silent_mp3(tag=SCRIPT)),
    "a PDF and an archive": ("pdf", samples.pdf() + b"PK\x05\x06" + bytes(18)),
    "a page as text": ("txt", b"<!doctype html><script>alert(1)</script>"),
    "a page as JSON": ("json", b'"<script>alert(1)</script>"'),
}
BEFORE = {
    "a page before an MP3": ("mp3", b"<!doctype html>" + samples.silent_mp3(100)),
    "a page before a PDF": ("pdf", b"<!doctype html>\n" + samples.pdf()),
    "an archive before a PDF": ("pdf", b"PK\x03\x04" + bytes(26) + samples.pdf()),
    "a script before a JPEG": ("jpg", SCRIPT + samples.genuine("jpg")),
    "a space before a GIF": ("gif", b" " + samples.genuine("gif")),
    "a GIF's head before a script": ("gif", b"GIF89a/*" + bytes(20) + SCRIPT),
    "a WAV's head before a page": ("wav", b"RIFF\x24\x00\x00\x00WAVE" + SCRIPT),
    "Matroska as WebM": ("webm", samples.matroska()),
    "a picture that unfolds": ("png", samples.png(60_000, 60_000)),
    "a picture of no rows": ("png", samples.png(60_000, 1000, b"")),
    "a GIF of four gigapixels": (
        "gif",
        b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x4c\x01\0;",
    ),
    "deep JSON": ("json", b"[" * 500_000 + b"]" * 500_000),
    "deep JSON that breaks off": ("json", b'{"a":' * 500_000),
    "a PDF whose pages hold themselves": ("pdf", samples.pdf(samples.CATALOG, b"<</Type/Pages/Kids[2 0 R]/Count 1>>")),
    "a PDF of a billion pages": (
        "pdf",
        samples.pdf(
            samples.CATALOG,
            *(b"<</Type/Pages/Kids[%d 0 R %d 0 R]/Count 2>>" % (number, number) for number in range(3, 35)),
            samples.PAGE,
        ),
    ),
    "a PDF of deep arrays": (
        "pdf",
        samples.pdf(samples.CATALOG, b"<</Type/Pages/X " + b"[" * 100_000 + b"]" * 100_000 + b">>"),
    ),
}


@pytest.fixture
def shape(request: pytest.FixtureRequest) -> str:
    """One starting database, unless a test is about databases."""
    return str(getattr(request, "param", "guide"))


both_shapes = pytest.mark.parametrize("shape", ["guide", "backend"], indirect=True)


def test_no_name_leads_out_of_the_folder(upload: Upload, client: FlaskClient, folders: Folders) -> None:
    kept = []
    for number, name in enumerate(NAMES):
        data = f"words {number}".encode()
        answer = upload(data, name, **ITEM)
        assert answer.status_code == 201, (name, answer.json)
        path = answer.json["file_path"]
        folder, _, filename = path.partition("/")
        assert folder == "documents"
        assert filename.isascii()
        assert filename.replace("-", "").removesuffix(".txt").isalnum()
        assert filename.endswith(f"-{sha256(data)[:8]}.txt")
        assert len(filename) < 100
        assert filename == filename.lower()
        with client.get(answer.json["access_url"]) as served:
            assert served.data == data
        kept.append(path)
    assert (folders.kept(), folders.waiting()) == (sorted(kept), [])
    assert sorted(each.name for each in folders.content.parent.iterdir()) == ["content", "uploads"]


def test_the_original_name_is_told_without_its_folders(upload: Upload) -> None:
    for name in ("x.txt", "a/b/x.txt", r"C:\\Users\\x.txt", "../x.txt", r"a\\b/x.txt", "/x.txt"):
        assert upload(b"words", name).json["original_filename"] == "x.txt"


def test_a_title_that_is_not_given_is_the_name_s(upload: Upload) -> None:
    for name, title in TITLES.items():
        assert upload(b"words", name, **ITEM).json["content"]["title"] == title


@pytest.mark.parametrize("what", BEHIND)
def test_what_hides_in_a_genuine_file_does_not_run(what: str, upload: Upload, client: FlaskClient) -> None:
    extension, data = BEHIND[what]
    answer = upload(data, f"x.{extension}", **ITEM)
    assert answer.status_code == 201, answer.json
    with client.get(answer.json["access_url"]) as served:
        assert served.data == data
        headers = served.headers
    kinds = {"gif": "image/gif", "jpg": "image/jpeg", "png": "image/png", "mp3": "audio/mpeg", "pdf": "application/pdf"}
    kinds |= {"txt": "text/plain; charset=utf-8", "json": "application/json"}
    assert headers["Content-Type"] == kinds[extension]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "script-src" not in headers["Content-Security-Policy"]


@pytest.mark.parametrize("what", BEFORE)
def test_hostile_bytes_are_refused_in_bounded_time(what: str, upload: Upload, folders: Folders) -> None:
    extension, data = BEFORE[what]
    started = time.monotonic()
    answer = upload(data, f"x.{extension}", **ITEM)
    assert time.monotonic() - started < BOUNDED_SECONDS
    assert (answer.status_code, answer.json) == (400, {"message": "File content does not match its type"})
    assert (folders.kept(), folders.waiting()) == ([], [])


@pytest.mark.parametrize("what", ["a stream", "an object stream"])
def test_a_pdf_that_unfolds_does_no_harm(what: str, upload: Upload, folders: Folders) -> None:
    started = time.monotonic()
    answer = upload(bomb_of_streams() if what == "a stream" else bomb_of_objects(), "x.pdf")
    assert time.monotonic() - started < BOUNDED_SECONDS
    assert answer.status_code in (201, 400)
    assert (len(folders.kept()), folders.waiting()) == (answer.status_code == 201, [])


@both_shapes
def test_a_row_that_the_database_refuses_leaves_no_file(
    upload: Upload, database_url: str, sql: Callable[..., Any], folders: Folders
) -> None:
    with refusing(database_url, "title <> 'Poison'"):
        answer = upload(b"words", "x.txt", **ITEM, title="Poison")
        assert answer.status_code == 500
        assert "Poison" not in answer.json["message"]
        assert (folders.kept(), folders.waiting()) == ([], [])
        assert upload(b"words", "x.txt", **ITEM, title="Honey").status_code == 201
    assert [row["title"] for row in sql("SELECT title FROM content_library")] == ["Honey"]
    assert len(folders.kept()) == 1


def test_a_row_that_the_database_refuses_leaves_the_file_of_others(
    upload: Upload, client: FlaskClient, database_url: str, folders: Folders
) -> None:
    first = upload(b"words", "x.txt", **ITEM, title="Honey").json
    with refusing(database_url, "title <> 'Poison'"):
        assert upload(b"words", "x.txt", **ITEM, title="Poison").status_code == 500
    with client.get(first["access_url"]) as served:
        assert served.data == b"words"
    assert folders.waiting() == []


@both_shapes
def test_a_database_that_goes_in_the_middle_leaves_neither(
    upload: Upload, sql: Callable[..., Any], database_url: str, folders: Folders
) -> None:
    with ThreadPoolExecutor(1) as pool, read_only(database_url):
        answer = pool.submit(upload, b"words", "x.txt", **ITEM)
        waiting = wait_for(lambda: blocked(database_url))
        assert len(folders.kept()) == 1
        sql("SELECT pg_terminate_backend(%s)", (waiting,))
        assert answer.result(20).status_code == 503
    assert sql("SELECT count(*) FROM content_library")[0]["count"] == 0
    assert (folders.kept(), folders.waiting()) == ([], [])
    assert upload(b"words", "x.txt", **ITEM).status_code == 201


def test_a_database_that_goes_for_good_in_the_middle_leaves_nothing_that_a_sweep_does_not_find(
    upload: Upload, app: Flask, servers: Servers, database_url: str, folders: Folders
) -> None:
    with ThreadPoolExecutor(1) as pool, read_only(database_url):
        answer = pool.submit(upload, b"words", "x.txt", **ITEM)
        wait_for(lambda: blocked(database_url))
        with closed_to_all(servers.database_url, database_url):
            assert answer.result(20).status_code == 503
    swept = app.test_cli_runner().invoke(args=["library", "sweep", "--older-than", "0"])
    assert swept.exit_code == 0, swept.exception
    assert (folders.kept(), folders.waiting()) == ([], [])


@pytest.mark.parametrize("with_item", [True, False])
def test_an_upload_that_fails_takes_no_file_from_the_one_that_waits_for_it(
    with_item: bool, upload: Upload, sql: Callable[..., Any], folders: Folders, app: Flask
) -> None:
    other = {**ITEM, "title": "Honey"} if with_item else {}
    with ThreadPoolExecutor(2) as pool, app.app_context():
        others: list[Any] = []

        def fail(session: object) -> None:
            if not others:
                others.append(pool.submit(upload, b"words", "x.txt", **other))
                wait(others, timeout=1)
                raise OSError(errno.EIO, "a commit that fails")

        event.listen(db.session, "before_commit", fail)
        try:
            assert pool.submit(upload, b"words", "x.txt", **ITEM, title="Bread").result(20).status_code == 500
        finally:
            event.remove(db.session, "before_commit", fail)
        given = others[0].result(20)
        assert given.status_code == 201
    assert folders.kept() == [given.get_json()["file_path"]]
    assert [row["file_path"] for row in sql("SELECT file_path FROM content_library")] == folders.kept() * with_item
    assert folders.waiting() == []


def test_a_failure_after_the_row_is_there_keeps_its_file(
    upload: Upload, sql: Callable[..., Any], folders: Folders
) -> None:
    """Whoever listens to the catalogue may fail: then both are there, or neither."""

    def fail(sender: object, **news: object) -> None:
        raise RuntimeError("a listener that fails")

    with item_changed.connected_to(fail):
        upload(b"words", "x.txt", **ITEM)
    rows = [row["file_path"] for row in sql("SELECT file_path FROM content_library")]
    assert folders.kept() == rows
    assert folders.waiting() == []


def test_a_file_that_is_uploaded_again_while_its_item_is_purged_stays(
    upload: Upload, client: FlaskClient, as_parent: dict[str, str], database_url: str, folders: Folders
) -> None:
    """The purge has found that no other row uses the file, and is about to remove it."""
    old = upload(b"words", "x.txt", **ITEM).json["content_id"]
    with ThreadPoolExecutor(2) as pool:
        with unreadable(database_url, "heggerty_curriculum_data"):
            purged = pool.submit(client.delete, f"/content/{old}?purge=true", headers=as_parent)
            wait_for(lambda: blocked(database_url, "heggerty_curriculum_data"))
            uploaded = pool.submit(upload, b"words", "x.txt", **ITEM, title="Another")
            wait([uploaded], timeout=1)
        assert (purged.result(20).status_code, uploaded.result(20).status_code) == (200, 201)
    assert folders.kept() == [uploaded.result().json["file_path"]]


def bomb_of_streams() -> bytes:
    """A page whose content unfolds twice, to 10 MB."""
    data = zlib.compress(zlib.compress(bytes(10_000_000), 9), 9)
    page = samples.PAGE[:-2] + b"/Contents 4 0 R>>"
    stream = b"<</Length %d/Filter[/FlateDecode/FlateDecode]>>stream\n%s\nendstream" % (len(data), data)
    return samples.pdf(samples.CATALOG, samples.ONE_PAGE, page, stream)


def bomb_of_objects() -> bytes:
    """The list of pages stands in an object stream (ISO 32000-1, 7.5.7) that unfolds to 10 MB."""
    data = zlib.compress(b"2 0 " + samples.ONE_PAGE + b" " * 10_000_000, 9)
    stream = b"<</Type/ObjStm/N 1/First 4/Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(data), data)
    body, offsets = b"%PDF-1.7\n", {}
    for number, each in ((1, samples.CATALOG), (3, samples.PAGE), (4, stream)):
        offsets[number] = len(body)
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    offsets[5] = len(body)
    rows = [(0, 0, 65535), (1, offsets[1], 0), (2, 4, 0), *((1, offsets[number], 0) for number in (3, 4, 5))]
    table = b"".join(bytes([kind]) + place.to_bytes(4, "big") + last.to_bytes(2, "big") for kind, place, last in rows)
    head = b"<</Type/XRef/Size 6/W[1 4 2]/Root 1 0 R/Length %d>>" % len(table)
    body += b"5 0 obj\n%sstream\n%s\nendstream\nendobj\n" % (head, table)
    return body + b"startxref\n%d\n%%%%EOF\n" % offsets[5]
