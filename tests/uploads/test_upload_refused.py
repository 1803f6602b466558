"""What an upload is refused for, in which words, and that nothing is left of it."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from library_server.files import inspection
from tests.conftest import bearer, make_parent
from tests.uploads import samples
from tests.uploads.conftest import UPLOAD
from tests.uploads.folders import Folders
from tests.uploads.forms import BOUNDARY, HEADERS, ITEM, field, file, form, upload_form

Upload = Callable[..., TestResponse]

NO_FILE = {
    "no part": form(),
    "only fields": form(*(field(*each) for each in ITEM.items())),
    "another part": form(file(b"words", "x.txt", "upload"), file(b"words", "x.txt", "File")),
    "a field named file": form(field("file", "words")),
}
NOT_FORMS = {
    "JSON": (b'{"file": "x.txt"}', "application/json"),
    "a form without files": (b"file=x.txt", "application/x-www-form-urlencoded"),
    "bare bytes": (b"words", "text/plain"),
    "no type": (b"words", None),
    "mixed parts": (form(file(b"words", "x.txt")), f"multipart/mixed; boundary={BOUNDARY}"),
}
BROKEN_FORMS = {
    "no boundary": (form(file(b"words", "x.txt")), "multipart/form-data"),
    "an empty boundary": (form(file(b"words", "x.txt")), 'multipart/form-data; boundary=""'),
    "another boundary": (form(file(b"words", "x.txt")), "multipart/form-data; boundary=other"),
    "a boundary that is not ASCII": (form(file(b"words", "x.txt")), "multipart/form-data; boundary=ü"),
    "no end": (form(file(b"words", "x.txt"))[: -len(BOUNDARY) - 4], HEADERS["Content-Type"]),
    "a part that breaks off": (form(file(b"words", "x.txt"))[:-70], HEADERS["Content-Type"]),
    "headers that break off": (form(file(b"words", "x.txt"))[:60], HEADERS["Content-Type"]),
    "a part without disposition": (
        f"--{BOUNDARY}\r\nX: y\r\n\r\nwords\r\n--{BOUNDARY}--".encode(),
        HEADERS["Content-Type"],
    ),
    "a name that is not UTF-8": (
        form(file(b"words", "x.txt")).replace(b"x.txt", b"\xff\xfe.txt"),
        HEADERS["Content-Type"],
    ),
    "empty": (b"", HEADERS["Content-Type"]),
}
NOT_ALLOWED = [
    *("x.exe", "x.html", "x.htm", "x.svg", "x.php", "x.js", "x.mp", "x.mp33", "x.webp", "x.zip", "x.ogg", "x.tar.gz"),
    *("x", "txt", ".txt", ".", "..", "...", "x.", " ", "folder/.txt", "folder.txt/x"),
    *("x.txt.exe", "x.txt.html", "x.txt.", "x.txt ", "x. txt", "x.txt\t", "x.txt;", "x.txt:y"),
    *("x.txt\0", "x.txt\0.exe", "x.txt\u00a0", "x.txt\u200b", "x.t\u200bxt", "x.\uff54\uff58\uff54", "x.tх\u0442"),
    *("x․txt", "x.txt?x=.html", "x.txt#", "x.txt%00.html", "x.\u202etxt", "x.txt" + "." * 5000, "😀"),
]
NOT_TEXT = {
    "nothing": b"",
    "a NUL": b"words\0words",
    "a NUL far inside": b"words " * 300_000 + b"\0",
    "Latin-1": "été".encode("latin-1"),
    "UTF-16": "words".encode("utf-16"),
    "UTF-16 without a mark": "words".encode("utf-16-le"),
    "half a character": "é".encode()[:1],
    "half a character far inside": b"w" * (1024 * 1024 - 1) + "é".encode()[:1] + b"w",
    "a surrogate": b"\xed\xa0\x80",
    "an over-long character": b"\xc0\xaf",
    "a program": b"\x7fELF\x02\x01\x01" + bytes(60),
    "an archive": b"PK\x03\x04\x14\x00\x00\x00\x08\x00",
    "noise": samples.noise(500),
}
NOT_JSON = {
    "nothing": b"",
    "a space": b" ",
    "words": b"words",
    "a Python value": b"{'a': True}",
    "NaN": b"NaN",
    "NaN inside": b'{"a": [NaN]}',
    "infinity": b"-Infinity",
    "a comma too many": b"[1,]",
    "a comment": b"// words\n[]",
    "two values": b'{"a": 1}\n{"a": 2}',
    "a value that breaks off": b'{"a": [1, 2',
    "Latin-1": '{"a": "é"}'.encode("latin-1"),
    "UTF-16": "[]".encode("utf-16"),
    "a NUL in text": b'"a\0b"',
    "a line break in text": b'"a\nb"',
    "a program": b"<script>alert(1)</script>",
}
TRUNCATED = {extension: samples.genuine(extension) for extension in ("jpg", "png", "pdf", "json")}
ALIKE = {
    "mp3": ("wav", "mp4", "webm"),
    "wav": ("mp3", "mp4", "webm"),
    "mp4": ("mp3", "wav", "webm"),
    "webm": ("mp3", "wav", "mp4"),
    "jpg": ("png", "gif"),
    "png": ("jpg", "gif"),
    "gif": ("jpg", "png"),
    "pdf": ("txt", "json"),
    "txt": ("pdf",),
    "json": ("txt", "pdf"),
}
WRONG = {
    "content_type": ["podcast", "STORY", "story,game", "<script>"],
    "subject_area": ["Math", "1math", "math-x", "a" * 51, "maths'; DROP TABLE content_library"],
    "age_range": ["3-6", "3–5", "everyone"],
    "title": ["x" * 201, "a\0b"],
    "description": ["x" * 20_001],
    "difficulty_level": ["hard", "Easy"],
    "skill_objectives": ["rhyming", "[", '"rhyming"', "5", "null1", "[NaN]", '["\\u0000"]', '["\\ud800"]', "[" * 300],
    "download_priority": ["0", "11", "-1", "5.0", "1e1", "five", "+5", "٥", "9" * 400, "0x5", "1 0"],
}


def test_without_a_file_it_is_told(client: FlaskClient, as_parent: dict[str, str], folders: Folders) -> None:
    for what, body in NO_FILE.items():
        answer = client.post(UPLOAD, data=body, headers=as_parent | HEADERS)
        assert told(answer) == (400, "No file provided"), what
    assert nothing_is_left(folders)


def test_what_is_not_a_form_holds_no_file(client: FlaskClient, as_parent: dict[str, str]) -> None:
    for what, (body, kind) in NOT_FORMS.items():
        answer = client.post(UPLOAD, data=body, headers=as_parent, content_type=kind)
        assert told(answer) == (400, "No file provided"), what


def test_a_form_that_was_sent_without_choosing_a_file_is_told(upload: Upload, folders: Folders) -> None:
    for data, filename in ((b"", ""), (b"words", ""), (b"words", "folder/")):
        for fields in ({}, ITEM):
            assert told(upload(data, filename, **fields)) == (400, "No file selected")
    assert nothing_is_left(folders)


def test_a_broken_form_is_a_bad_request(client: FlaskClient, as_parent: dict[str, str], folders: Folders) -> None:
    for what, (body, kind) in BROKEN_FORMS.items():
        answer = client.post(UPLOAD, data=body, headers=as_parent, content_type=kind)
        assert (answer.status_code, bool(answer.json["message"])) == (400, True), what
    assert nothing_is_left(folders)


def test_a_type_that_is_not_accepted_is_refused(upload: Upload, folders: Folders) -> None:
    answers = {name: told(upload(b"words", name)) for name in NOT_ALLOWED}
    assert {name: answer for name, answer in answers.items() if answer != (400, "File type not allowed")} == {}
    assert nothing_is_left(folders)


@pytest.mark.parametrize("named", ALIKE)
def test_no_type_passes_for_another(named: str, tmp_path: Path) -> None:
    """Neither those that the same library reads, nor two of the others, nor its own head before anything else."""
    others = [each for each in ALIKE if each not in (named, *ALIKE[named])]
    first = list(ALIKE).index(named) % len(others)
    impostors = {each: samples.genuine(each) for each in (*ALIKE[named], others[first], others[first - 3])}
    if named == "txt":
        impostors.pop("json", None)  # which is a text too
    elif named != "json":
        impostors["its head and noise"] = samples.genuine(named)[:12] + samples.noise(3000)
    with ThreadPoolExecutor(2) as pool:
        passed = list(pool.map(lambda each: passes(tmp_path / each, impostors[each], named), impostors))
    assert [each for each, good in zip(impostors, passed, strict=True) if good] == []


@pytest.mark.parametrize("fields", [{}, ITEM], ids=["a file", "an item"])
@pytest.mark.parametrize(
    ("extension", "data"),
    [("png", samples.genuine("gif")), ("MP3", b"<html>"), ("mp4", samples.genuine("webm")), ("pdf", b"%PDF-1.7 words")],
    ids=["png", "mp3", "mp4", "pdf"],
)
def test_bytes_of_another_type_are_refused(
    extension: str, data: bytes, fields: dict[str, str], upload: Upload, sql: Callable[..., Any], folders: Folders
) -> None:
    answer = upload(data, f"x.{extension}", **fields)
    assert told(answer) == (400, "File content does not match its type")
    assert sql("SELECT count(*) FROM content_library")[0]["count"] == 0
    assert nothing_is_left(folders)


@pytest.mark.parametrize(
    ("extension", "cases"), [("txt", NOT_TEXT), ("json", NOT_JSON), ("gif", {"a page": b"GIF89a=1;alert(1)"})]
)
def test_bytes_that_only_look_right_are_refused(
    extension: str, cases: dict[str, bytes], upload: Upload, folders: Folders
) -> None:
    answers = {what: told(upload(data, f"x.{extension}")) for what, data in cases.items()}
    assert set(answers.values()) == {(400, "File content does not match its type")}, answers
    assert nothing_is_left(folders)


@pytest.mark.parametrize("extension", TRUNCATED)
def test_half_a_file_is_refused(extension: str, upload: Upload, folders: Folders) -> None:
    data = samples.genuine(extension)
    assert told(upload(data[: len(data) // 2], f"x.{extension}")) == (400, "File content does not match its type")
    assert nothing_is_left(folders)


@pytest.mark.parametrize("rest", [None, "", "  "], ids=["absent", "empty", "blank"])
def test_some_of_the_three_fields_are_not_enough(rest: str | None, upload: Upload, folders: Folders) -> None:
    for count in (1, 2):
        for given in combinations(ITEM, count):
            fields = {name: ITEM[name] if name in given else rest for name in ITEM}
            missing = ", ".join(name for name in ITEM if name not in given)
            answer = upload(b"words", "x.txt", **{name: value for name, value in fields.items() if value is not None})
            assert told(answer) == (400, f"Missing required fields: {missing}")
    assert nothing_is_left(folders)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_by_name(name: str, upload: Upload, sql: Callable[..., Any], folders: Folders) -> None:
    for value in WRONG[name]:
        answer = upload(b"words", "x.txt", **ITEM | {name: value})
        assert answer.status_code == 400, value
        assert name in answer.json["message"]
        assert answer.json["errors"][0]["field"] == name
        assert len(answer.json["message"]) < 200
    assert sql("SELECT count(*) FROM content_library")[0]["count"] == 0
    assert nothing_is_left(folders)


@pytest.mark.parametrize("before", [True, False], ids=["fields first", "file first"])
def test_a_wrong_field_is_refused_wherever_it_stands(
    before: bool, client: FlaskClient, as_parent: dict[str, str], folders: Folders
) -> None:
    parts = [*(field(*each) for each in (ITEM | {"download_priority": "11"}).items()), file(b"words", "x.txt")]
    answer = client.post(UPLOAD, data=form(*(parts if before else parts[::-1])), headers=as_parent | HEADERS)
    assert answer.status_code == 400
    assert nothing_is_left(folders)


@pytest.mark.parametrize("fields", [{}, ITEM], ids=["a file", "an item"])
def test_a_file_past_the_limit_is_refused(
    fields: dict[str, str], small: FlaskClient, as_parent: dict[str, str], folders: Folders
) -> None:
    for size in (1001, 70_000, 1_500_000, 3_000_000):
        answer = small.post(UPLOAD, data=upload_form(b"w" * size, "x.txt", fields), headers=as_parent | HEADERS)
        assert (answer.status_code, answer.json) == (413, {"message": "File too large"}), size
    assert nothing_is_left(folders)


def test_a_file_of_exactly_the_limit_is_taken(small: FlaskClient, as_parent: dict[str, str]) -> None:
    answer = small.post(UPLOAD, data=upload_form(b"w" * 1000, "x.txt", ITEM), headers=as_parent | HEADERS)
    assert (answer.status_code, answer.json["size"]) == (201, 1000)


def test_many_files_do_not_get_past_the_limit(
    serve: Callable[..., FlaskClient], as_parent: dict[str, str], folders: Folders
) -> None:
    body = form(*[file(b"w" * 200_000, "x.txt", f"file{number}") for number in range(15)], file(b"words", "x.txt"))
    answer = serve(MAX_UPLOAD_SIZE=200_000).post(UPLOAD, data=body, headers=as_parent | HEADERS)
    assert told(answer) == (413, "File too large")
    assert nothing_is_left(folders)


def test_fields_do_not_count_against_the_file(small: FlaskClient, as_parent: dict[str, str], folders: Folders) -> None:
    fields = ITEM | {"description": "d" * 20_000, "title": "t" * 200}
    answer = small.post(UPLOAD, data=upload_form(b"w" * 1000, "x.txt", fields), headers=as_parent | HEADERS)
    assert answer.status_code == 201
    assert folders.waiting() == []


def test_a_form_that_is_all_else_is_refused(client: FlaskClient, as_parent: dict[str, str], folders: Folders) -> None:
    words = file(b"words", "x.txt")
    for body in (
        form(field("title", "x" * 1_200_000), words),
        form(*[field("title", "x")] * 5000, words),
        form(*[words] * 1000),
        form(file(b"words", "x" * 1_200_000 + ".txt")),
        b"x" * 1_200_000 + form(words),
    ):
        answer = client.post(UPLOAD, data=body, headers=as_parent | HEADERS)
        assert (answer.status_code in (400, 413), bool(answer.json["message"])) == (True, True), body[:200]
    assert nothing_is_left(folders)


@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        ("nobody", (401, "Authentication token is missing")),
        ("a child", (403, "Parent access required")),
        ("another parent", (403, "Editor access required")),
        ("the editor", (201, "File uploaded successfully")),
    ],
    ids=["nobody", "a child", "another parent", "the editor"],
)
def test_only_an_editor_may(
    who: str,
    refusal: tuple[int, str],
    editors_only: FlaskClient,
    sql: Callable[..., Any],
    as_parent: dict[str, str],
    as_child: dict[str, str],
    folders: Folders,
) -> None:
    another = bearer(user_id=make_parent(sql), user_type="parent")
    headers = {"nobody": {}, "a child": as_child, "another parent": another, "the editor": as_parent}[who]
    body = upload_form(b"words", "x.txt", ITEM)
    for path in (UPLOAD, f"{UPLOAD}/", "/upload", "/upload/"):
        answer = editors_only.post(path, data=body, headers=headers | HEADERS)
        assert told(answer) == refusal
        assert answer.headers.get("WWW-Authenticate") == ("Bearer" if refusal[0] == 401 else None)
    assert (sql("SELECT count(*) FROM content_library")[0]["count"] == 1) == (who == "the editor")
    assert nothing_is_left(folders) == (who != "the editor")


def test_who_may_not_is_told_before_what_is_wrong(client: FlaskClient, as_child: dict[str, str]) -> None:
    for headers, status in (({}, 401), (as_child, 403)):
        answer = client.post(UPLOAD, data=b"{", headers=headers, content_type="application/json")
        assert answer.status_code == status


@pytest.fixture
def shape() -> str:
    """One starting database: what is refused never comes to it."""
    return "backend"


@pytest.fixture
def small(serve: Callable[..., FlaskClient]) -> FlaskClient:
    """A client of a server that takes files of up to 1000 bytes."""
    return serve(MAX_UPLOAD_SIZE=1000)


def test_one_file_is_looked_at_after_the_other(tmp_path: Path) -> None:
    """Each may take a gigabyte of memory."""
    path = tmp_path / "x.txt"
    path.write_text("words")
    at_once: list[int] = []
    looking = threading.Semaphore(4)

    def note() -> None:
        with looking:
            at_once.append(4 - looking._value)
            time.sleep(0.05)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(inspection.inspect, path, "txt", note) for _ in range(4)]:
            assert done.result() == {}
    assert at_once == [1, 1, 1, 1]


@pytest.fixture
def editors_only(serve: Callable[..., FlaskClient], parent: int) -> FlaskClient:
    """A client of a server that knows one editor, the parent."""
    return serve(CONTENT_EDITORS=str(parent))


def told(answer: TestResponse) -> tuple[int, str]:
    """The status and the sentence, of an answer that is JSON."""
    return answer.status_code, json.loads(answer.data)["message"]


def nothing_is_left(folders: Folders) -> bool:
    return (folders.kept(), folders.waiting()) == ([], [])


def passes(path: Path, data: bytes, extension: str) -> bool:
    """Whether the bytes are taken for this type."""
    path.write_bytes(data)
    try:
        inspection.inspect(path, extension)
    except inspection.Mismatch:
        return False
    return True
