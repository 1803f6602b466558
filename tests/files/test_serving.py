"""Serving files: types, headers, conditions and ranges as RFC 9110 has them, and not a byte from outside."""

import os
import random
import re
import threading
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote

import flask_migrate
import pytest
import redis as redis_py

from library_server.extensions import db
from tests.conftest import SECRET as SECRET_KEY
from tests.conftest import bearer, make_child, make_parent, run_sql
from tests.files.serving import gunicorn, in_process, put_files

SECRET = b"a secret of this machine"
SONG = random.Random(1).randbytes(990) + b"\r\n--\r\n\0\xff\r\n"[:10]
SIZE = len(SONG)
LARGE_BYTES = 64 * 1024 * 1024
MODIFIED = 1_767_607_200
EARLIER, SAME, LATER = (f"Mon, 05 Jan 2026 {time} GMT" for time in ("09:59:59", "10:00:00", "10:00:01"))

CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "pdf": "application/pdf",
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
}
ASSET_TYPES = CONTENT_TYPES | {
    "svg": "image/svg+xml",
    "css": "text/css; charset=utf-8",
    "ico": "image/x-icon",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "ttf": "font/ttf",
}
NEVER_RUN = [
    "html",
    "htm",
    "xhtml",
    "svg",
    "xml",
    "js",
    "mjs",
    "css",
    "swf",
    "exe",
    "php",
    "mp3.html",
    "bin",
    "mp3_",
    "ünï",
]
ODD_NAMES = [
    "Ünï cödé 😀.mp3",
    "a+b&c=d;e,f@g!$.mp3",
    "50% & #1?.mp3",
    "\"quoted\" 'q'.mp3",
    "%2e%2e.mp3",
    "日本語",
    "~",
    "5",
]
HASHED = "audio/itsy-bitsy-spider-3f2a9c1e.mp3"

# TAG stands for the file's own ETag.
CONDITIONS = {
    "If-Match: TAG": 200,
    "If-Match: *": 200,
    'If-Match: "other", TAG': 200,
    'If-Match: "other"': 412,
    "If-Match: W/TAG": 412,  # the strong comparison
    "If-Match: ": 412,
    f"If-Unmodified-Since: {SAME}": 200,
    f"If-Unmodified-Since: {LATER}": 200,
    f"If-Unmodified-Since: {EARLIER}": 412,
    "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT": 412,
    "If-Unmodified-Since: yesterday": 200,
    "If-Unmodified-Since: 0": 200,
    "If-None-Match: TAG": 304,
    "If-None-Match: W/TAG": 304,  # the weak comparison
    "If-None-Match: *": 304,
    'If-None-Match: "other", W/"more",TAG': 304,
    'If-None-Match: "other"': 200,
    'If-None-Match: W/"other"': 200,
    f"If-Modified-Since: {SAME}": 304,
    f"If-Modified-Since: {LATER}": 304,
    f"If-Modified-Since: {EARLIER}": 200,
    "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT": 200,
    "If-Modified-Since: Monday, 05-Jan-26 10:00:00 GMT": 304,  # obsolete dates count (section 5.6.7)
    "If-Modified-Since: Mon Jan  5 10:00:00 2026": 304,
    "If-Modified-Since: Mon Jan  5 09:59:59 2026": 200,
    "If-Modified-Since: tomorrow": 200,
    # precedence, section 13.2.2
    f"If-Match: TAG | If-Unmodified-Since: {EARLIER}": 200,
    f'If-Match: "other" | If-Unmodified-Since: {LATER}': 412,
    f'If-None-Match: "other" | If-Modified-Since: {LATER}': 200,
    f"If-None-Match: TAG | If-Modified-Since: {EARLIER}": 304,
    "If-Match: TAG | If-None-Match: TAG": 304,
    'If-Match: "other" | If-None-Match: TAG': 412,
    'If-Match: TAG | If-None-Match: "other"': 200,
    f"If-Match: TAG | If-Modified-Since: {LATER}": 304,
    f"If-Unmodified-Since: {LATER} | If-None-Match: TAG": 304,
    f"If-Unmodified-Since: {EARLIER} | If-None-Match: TAG": 412,
    f"If-Unmodified-Since: {SAME} | If-Modified-Since: {SAME}": 304,
    f"If-Unmodified-Since: {EARLIER} | If-Modified-Since: {LATER}": 412,
}
RANGE_CONDITIONS = {  # each with the first ten bytes asked for
    "If-Range: TAG": 206,
    "If-Range: W/TAG": 200,
    'If-Range: "other"': 200,
    f"If-Range: {SAME}": 206,
    f"If-Range: {EARLIER}": 200,
    f"If-Range: {LATER}": 200,
    "If-Range: *": 200,
    "If-Range: yesterday": 200,
    'If-Range: TAG, "other"': 200,
    "If-Match: TAG | If-Range: TAG": 206,
    'If-Match: TAG | If-Range: "other"': 200,
    'If-Match: "other" | If-Range: TAG': 412,
    "If-None-Match: TAG | If-Range: TAG": 304,
    'If-None-Match: TAG | If-Range: "other"': 304,
    'If-None-Match: "other" | If-Range: TAG': 206,
    f"If-Modified-Since: {SAME} | If-Range: TAG": 304,
    f"If-Modified-Since: {EARLIER} | If-Range: {SAME}": 206,
    f"If-Unmodified-Since: {EARLIER} | If-Range: TAG": 412,
}
ABSURD_DATES = [
    *("Mon, 05 Jan 99999999999999999999 10:00:00 GMT", "Mon, 05 Jan 2026 10:00:00 +99999999999999"),
    *("Mon, 05 Jan 2026 99999999999999999999:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 +2359"),
    "Mon, 99 Foo 2026 10:00:00",
    *("Thu, 01 Jan 0000 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "é", ",,,,", "9" * 5_000),
]
WHOLE, UNSATISFIABLE = slice(None), None
RANGES = {
    "bytes=0-0": [slice(0, 1)],
    "bytes=0-499": [slice(0, 500)],
    "bytes=500-": [slice(500, None)],
    "bytes=-500": [slice(-500, None)],
    "bytes=-1": [slice(-1, None)],
    "bytes=0-": [slice(0, None)],
    "bytes=999-5000": [slice(999, None)],
    "bytes=-5000": [slice(0, None)],
    "BYTES=1-2": [slice(1, 3)],
    "bytes=0-0,-1": [slice(0, 1), slice(-1, None)],
    "bytes=500-599, 0-9 ,990-": [slice(500, 600), slice(0, 10), slice(990, None)],
    "bytes=0-99,50-149": [slice(0, 100), slice(50, 150)],
    "bytes=0-9,5000-": [slice(0, 10)],
    "bytes=5000-,-0": UNSATISFIABLE,
    "bytes=1000-": UNSATISFIABLE,
    "bytes=1000-1000": UNSATISFIABLE,
    "bytes=-0": UNSATISFIABLE,
    "bytes=2-1": WHOLE,
    "bytes=a-b": WHOLE,
    "bytes=": WHOLE,
    "bytes": WHOLE,
    "lines=0-1": WHOLE,
    "bytes=0-,0-": WHOLE,
    "bytes=" + "0-0," * 500: WHOLE,
}
HOSTILE_TARGETS = [
    *("../../etc/passwd", "../outside/secret.txt", "%2e%2e/outside/secret.txt", "%2E%2E%2Foutside%2Fsecret.txt"),
    *("..%2foutside%2fsecret.txt", ".%2e/outside/secret.txt"),
    *("%252e%252e/outside/secret.txt", "%252e%252e%252foutside"),
    *("audio/../../outside/secret.txt", "audio/%2e%2e/%2e%2e/outside/secret.txt", "../" * 40 + "etc/passwd"),
    *("..\\outside\\secret.txt", "..%5coutside%5csecret.txt", "%5c%5c..%5c", "audio\\song.mp3", "audio%5csong.mp3"),
    *("/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "%2f%2fetc/passwd", "/", "audio//song.mp3", "/audio/song.mp3"),
    *("%00", "audio/song.mp3%00", "audio/song.mp3%00.txt", "%00/../outside/secret.txt", "audio%00/song.mp3"),
    *("%c0%ae%c0%ae/outside/secret.txt", "%c0%ae%c0%ae%c0%afoutside", "%e0%80%ae%e0%80%ae/x"),
    *("%f0%80%80%ae/x", "%ff%fe"),
    *("%uff0e%uff0e/x", "%u002e%u002e/x", "%ef%bc%8e%ef%bc%8e/outside/secret.txt", "%", "%2", "%zz", "%ed%a0%80"),
    *("..;/outside/secret.txt", "..%3b/x", "...%2f/x", "..../x"),
    *("./audio/song.mp3", "audio/./song.mp3", "audio/song.mp3/."),
    *("audio/..", "audio/song.mp3/..", "..", "%2e", "%2e%2e"),
    *("audio", "images/", "audio/song.mp3%20", "audio/song.mp3%2e"),
    *("audio/song.mp3%0a", "%0d%0aSet-Cookie:%20x=1", "x%0d%0a%0d%0a"),
    *("audio/song.mp3::$DATA", "C:/x", "~root/.bashrc"),
    *("link.txt", "folder_link/secret.txt", "inner_link.mp3", "inner_folder_link/song.mp3", "pipe", "broken_link"),
    *(".hidden.txt", ".git/config", "audio/.partial-x", "file:///etc/passwd"),
    *("http://127.0.0.1/etc/passwd", "nul", "con.mp3"),
    *("a" * 300, "a/" * 1_000, "audio/song.mp3/x", "*", "%3f", "%23", "proc/self/environ"),
]


@pytest.fixture(scope="module")
def library(create_database, make_app, servers, tmp_path_factory):
    """Settings of a library whose folders hold files and traps; beside them, a secret."""
    folder = tmp_path_factory.mktemp("library")
    put_files(folder / "outside", {"secret.txt": SECRET, "mp3": SECRET}, MODIFIED)
    for tree in ("content", "assets"):
        fill(folder / tree)
    database = create_database("guide")
    settings = {
        "DATABASE_URL": database,
        "REDIS_URL": servers.redis_url,
        "SECRET_KEY": SECRET_KEY,
        **{f"{name.upper()}_STORAGE_PATH": str(folder / name) for name in ("content", "assets", "uploads")},
    }
    with make_app(database, **settings).app_context():
        flask_migrate.upgrade()
        db.engine.dispose()
    with redis_py.Redis.from_url(servers.redis_url) as redis:
        redis.flushdb()
    parent = make_parent(lambda *query: run_sql(database, *query))
    make_child(lambda *query: run_sql(database, *query), parent)
    return settings


@pytest.fixture(scope="module")
def server(library, tmp_path_factory):
    with gunicorn(library, tmp_path_factory.mktemp("gunicorn") / "log") as started:
        yield started


@pytest.fixture(scope="module")
def app(library, make_app):
    made = make_app(**{"database_url": library["DATABASE_URL"]} | library)
    yield made
    with made.app_context():
        db.engine.dispose()


@pytest.fixture(scope="module", params=["gunicorn", "in process"])
def ask(request):
    """``ask(target, method=…, headers=…)`` as a child who is signed in, in both ways."""
    way = (
        request.getfixturevalue("server").ask
        if request.param == "gunicorn"
        else in_process(request.getfixturevalue("app"))
    )
    child = bearer(user_id=1, user_type="child")
    return lambda target, method="GET", headers=None: way(target, method, child | (headers or {}))


@pytest.fixture(scope="module")
def ask_behind_nginx(library, make_app):
    """The same with USE_X_ACCEL_REDIRECT, where nginx would send the bytes."""
    made = make_app(library["DATABASE_URL"], **library, USE_X_ACCEL_REDIRECT="true")
    child = bearer(user_id=1, user_type="child")
    yield lambda target, method="GET", headers=None: in_process(made)(target, method, child | (headers or {}))
    with made.app_context():
        db.engine.dispose()


@pytest.fixture(scope="module")
def tag(app):
    """The ETag of the song."""
    return in_process(app)("/assets/audio/song.mp3").headers["ETag"]


# What a file is answered with


@pytest.mark.parametrize("extension", CONTENT_TYPES)
@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_a_content_file_has_the_type_of_its_extension(spelling, extension, ask):
    answer = ask(f"/content/types/x.{spelling(extension)}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, CONTENT_TYPES[extension])
    assert "Content-Disposition" not in answer.headers


@pytest.mark.parametrize("extension", ASSET_TYPES)
def test_an_asset_has_the_type_of_its_extension(extension, ask):
    answer = ask(f"/assets/types/x.{extension}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, ASSET_TYPES[extension])
    assert "Content-Disposition" not in answer.headers


@pytest.mark.parametrize("name", [*(f"x.{extension}" for extension in NEVER_RUN), "mp3", "README"])
def test_any_other_content_file_is_bytes_to_save(name, ask):
    answer = ask(f"/content/types/{quote(name)}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/octet-stream")
    assert answer.headers["Content-Disposition"].partition(";")[0] == "attachment"


@pytest.mark.parametrize("extension", ["html", "js", "xhtml", "xml"])
def test_an_asset_that_could_run_is_bytes_to_save(extension, ask):
    answer = ask(f"/assets/types/x.{extension}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/octet-stream")
    assert answer.headers["Content-Disposition"].partition(";")[0] == "attachment"


@pytest.mark.parametrize(
    "path", ["content/types/x.pdf", "content/types/x.html", "assets/types/x.svg", "content/empty.txt"]
)
def test_nothing_in_a_file_runs_and_no_type_is_guessed(path, ask):
    headers = ask(f"/{path}").headers
    policy = dict(rule.strip().partition(" ")[::2] for rule in headers["Content-Security-Policy"].split(";"))
    assert headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert policy["default-src"] == "'none'"
    assert not {"script-src", "connect-src", "frame-src"} & set(policy)
    assert "sandbox" in policy or path.endswith(("pdf", "mp3", "wav", "mp4", "webm"))


@pytest.mark.parametrize("tree", ["content", "assets"])
def test_a_file_comes_whole_with_all_its_headers(tree, ask):
    answer = ask(f"/{tree}/audio/song.mp3")
    assert (answer.status, answer.body) == (200, SONG)
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Last-Modified"] == SAME
    assert re.fullmatch(r'"[!#-~]+"', answer.headers["ETag"])  # strong: no W/
    assert "Content-Range" not in answer.headers
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("other", ["audio/shorter.mp3", "audio/younger.mp3"])
def test_another_size_or_time_is_another_etag(other, ask):
    assert ask(f"/content/{other}").headers["ETag"] != ask("/content/audio/song.mp3").headers["ETag"]


@pytest.mark.parametrize(
    ("path", "whose", "seconds"),
    [
        ("content/audio/song.mp3", "private", None),
        (f"content/{HASHED}", "private", 365 * 86_400),
        ("content/audio/lesson-20240115.mp3", "private", None),
        ("assets/audio/song.mp3", "public", 7 * 86_400),
        (f"assets/{HASHED}", "public", 365 * 86_400),
    ],
)
def test_content_is_cached_privately_assets_publicly_and_hashed_names_for_long(path, whose, seconds, ask):
    caching = {word.strip() for word in ask(f"/{path}").headers["Cache-Control"].split(",")}
    expected = {"no-cache"} if seconds is None else {f"max-age={seconds}"}
    assert caching - {"immutable"} == {whose} | expected
    assert ("immutable" in caching) is ("3f2a9c1e" in path)


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("tree", ["content", "assets"])
def test_a_name_of_any_script_is_found(tree, name, ask):
    answer = ask(f"/{tree}/odd/{quote(name, safe='')}")
    assert (answer.status, answer.body) == (200, name.encode())


def test_a_path_of_numbers_is_a_file_when_it_goes_deeper(ask):
    assert ask("/content/2026/1.mp3").body == b"numbers"
    assert ask("/content/2026").headers["Content-Type"] == "application/json"  # an item's number


@pytest.mark.parametrize(
    "target", ["/content/%61udio/s%6fng.mp3", "/content/audio/song.mp3?x=1&y", "/content/audio/song.mp3?"]
)
def test_other_spellings_of_the_same_address_are_the_same_file(target, ask):
    assert ask(target).body == SONG


@pytest.mark.parametrize(
    "path", ["content/audio/song.mp3", "assets/empty.txt", "content/types/x.html", "content/none.mp3"]
)
def test_head_is_get_without_the_body(path, ask):
    got, head = ask(f"/{path}"), ask(f"/{path}", "HEAD")
    assert (head.status, head.body) == (got.status, b"")
    assert stable(head.headers) == stable(got.headers)


def test_head_ignores_ranges(ask):
    head = ask("/content/audio/song.mp3", "HEAD", {"Range": "bytes=0-9"})
    assert (head.status, head.headers["Content-Length"]) == (200, str(SIZE))
    assert ask("/content/audio/song.mp3", "HEAD", {"Range": "bytes=5000-"}).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["content/audio/song.mp3", "assets/audio/song.mp3", "content/none.mp3"])
def test_files_are_only_read(path, method, ask):
    answer = ask(f"/{path}", method)
    assert (answer.status, answer.headers["Content-Type"]) == (405, "application/json")
    assert {"GET", "HEAD"} <= set(answer.headers["Allow"].replace(" ", "").split(","))


@pytest.mark.parametrize(
    "path", ["none.mp3", "audio/none.mp3", "none/song.mp3", "audio/song.mp3/x", "2026/2.mp3", "Ünï.mp3"]
)
@pytest.mark.parametrize(
    ("tree", "message"), [("content", "Content file not found"), ("assets", "Asset file not found")]
)
def test_a_missing_file_is_404_with_its_sentence(tree, message, path, ask):
    answer = ask(f"/{tree}/{quote(path)}")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/json")
    assert answer.body == b'{"message":"%s"}' % message.encode()
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("target", ["/assets", "/assets/"])
def test_a_folder_of_assets_is_not_listed(target, ask):
    assert (ask(target).status, ask(target).headers["Content-Type"]) == (404, "application/json")


# Conditions


@pytest.mark.parametrize("conditions", CONDITIONS)
def test_conditions_are_evaluated_in_the_order_of_the_rfc(conditions, ask, tag):
    expected, headers = CONDITIONS[conditions], parsed(conditions, tag)
    for method in ("GET", "HEAD"):
        assert_evaluated(ask("/assets/audio/song.mp3", method, headers), expected, SONG if method == "GET" else b"")


@pytest.mark.parametrize("conditions", CONDITIONS)
def test_a_range_counts_only_after_the_conditions(conditions, ask, tag):
    expected, headers = CONDITIONS[conditions], parsed(conditions, tag)
    ten = ask("/content/audio/song.mp3", headers=headers | {"Range": "bytes=0-9"})
    assert_evaluated(ten, 206 if expected == 200 else expected, SONG[:10])
    outside = ask("/content/audio/song.mp3", headers=headers | {"Range": "bytes=5000-"})
    assert outside.status == (416 if expected == 200 else expected)


@pytest.mark.parametrize("conditions", RANGE_CONDITIONS)
def test_if_range_wants_the_very_tag_or_the_very_date(conditions, ask, tag):
    expected, headers = RANGE_CONDITIONS[conditions], parsed(conditions, tag)
    answer = ask("/content/audio/song.mp3", headers=headers | {"Range": "bytes=0-9"})
    assert_evaluated(answer, expected, SONG[:10] if expected == 206 else SONG)
    outside = ask("/content/audio/song.mp3", headers=headers | {"Range": "bytes=5000-"})
    assert outside.status == (416 if expected == 206 else expected)


@pytest.mark.parametrize("condition", ["TAG", '"other"'])
def test_if_range_without_a_range_means_nothing(condition, ask, tag):
    assert ask("/content/audio/song.mp3", headers=parsed(f"If-Range: {condition}", tag)).status == 200


@pytest.mark.parametrize("date", ABSURD_DATES, ids=lambda date: ascii(date)[1:40])
@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Unmodified-Since", "If-Range"])
def test_an_absurd_date_breaks_nothing(name, date, ask):
    answer = ask("/content/audio/song.mp3", headers={name: date.encode().decode("latin-1"), "Range": "bytes=0-9"})
    assert answer.status in (200, 206, 304, 412)


@pytest.mark.parametrize("value", ['"', 'W/"', "W/", ",", '"a" "b"', "\xe4", "* , *", '"' * 1_000, "W/" * 1_000])
@pytest.mark.parametrize("name", ["If-Match", "If-None-Match", "If-Range"])
def test_a_broken_tag_breaks_nothing(name, value, ask):
    answer = ask("/content/audio/song.mp3", headers={name: value, "Range": "bytes=0-9"})
    assert answer.status in (200, 206, 304, 412)


# Ranges


@pytest.mark.parametrize("header", RANGES, ids=lambda header: header[:30])
def test_a_range_is_answered_with_its_very_bytes(header, ask):
    answer = ask("/content/audio/song.mp3", headers={"Range": header})
    match RANGES[header]:
        case None:
            assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")
            assert answer.headers["Content-Type"] == "application/json"
        case slice():
            assert_evaluated(answer, 200, SONG)
        case [part]:
            assert_evaluated(answer, 206, SONG[part])
            assert answer.headers["Content-Range"] == content_range(part)
            assert answer.headers["Content-Type"] == "audio/mpeg"
        case parts:
            assert answer.status == 206
            assert answer.headers["Content-Length"] == str(len(answer.body))
            assert "Content-Range" not in answer.headers
            expected = [
                ({"content-type": "audio/mpeg", "content-range": content_range(part)}, SONG[part]) for part in parts
            ]
            assert parts_of(answer) == expected


@pytest.mark.parametrize("header", ["bytes=0-9", "bytes=0-9,20-29"])
def test_a_part_has_the_headers_of_the_whole(header, ask):
    whole = stable(ask("/content/audio/song.mp3").headers)
    part = stable(ask("/content/audio/song.mp3", headers={"Range": header}).headers)
    about_the_body = {"content-length", "content-range", "content-type"}
    assert {name: part[name] for name in part.keys() - about_the_body} == {
        name: whole[name] for name in whole.keys() - about_the_body
    }


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 200), ("bytes=-5", 200), ("bytes=0-", 416), ("bytes=0-0", 416), ("bytes=5-", 416), ("bytes=x", 200)],
)
def test_an_empty_file_is_served_empty(header, status, ask):
    answer = ask("/content/empty.txt", headers={"Range": header} if header else {})
    assert answer.status == status
    if status == 200:
        assert (answer.body, answer.headers["Content-Length"]) == (b"", "0")
    else:
        assert answer.headers["Content-Range"] == "bytes */0"


@pytest.mark.parametrize("header", [f"bytes={LARGE_BYTES - 6}-", "bytes=-6", f"bytes={LARGE_BYTES - 6}-{2**62}"])
def test_the_end_of_a_large_file_is_found(header, ask):
    answer = ask("/content/video/large.mp4", headers={"Range": header})
    assert (answer.status, answer.body) == (206, b"theend")
    assert answer.headers["Content-Range"] == f"bytes {LARGE_BYTES - 6}-{LARGE_BYTES - 1}/{LARGE_BYTES}"


def test_several_parts_of_a_large_file_are_found(ask):
    answer = ask("/content/video/large.mp4", headers={"Range": "bytes=0-199999,-6"})
    assert [body for _, body in parts_of(answer)] == [bytes(200_000), b"theend"]


def test_a_large_file_comes_whole(ask):
    answer = ask("/content/video/large.mp4")
    assert (len(answer.body), answer.body[-6:], answer.body.count(0)) == (LARGE_BYTES, b"theend", LARGE_BYTES - 6)


# Nothing from outside


@pytest.mark.parametrize("who", ["nobody", "child", "editor"])
@pytest.mark.parametrize("tree", ["content", "assets"])
def test_a_hostile_address_never_leads_out(tree, who, server):
    """Over a socket of our own, because clients tidy addresses up."""
    people = {
        "nobody": {},
        "child": bearer(user_id=1, user_type="child"),
        "editor": bearer(user_id=1, user_type="parent"),
    }
    authorization = "".join(f"{name}: {value}\r\n" for name, value in people[who].items())
    answers = {}
    for target in [f"/{tree}/{target}" for target in HOSTILE_TARGETS]:
        request = f"GET {target} HTTP/1.1\r\nHost: x\r\n{authorization}Connection: close\r\n\r\n"
        answers[target] = server.send(request.encode("latin-1"))
    refused = (b"400", b"404") if who != "nobody" or tree == "assets" else (b"400", b"401", b"404")
    assert [target for target, answer in answers.items() if leaks(answer)] == []
    assert {target: answer[9:12] for target, answer in answers.items() if answer[9:12] not in refused} == {}


@pytest.mark.parametrize(
    "target",
    [
        *("content/audio/song.mp3", "../../etc/passwd", "/../etc/passwd"),
        *("/%2e%2e/etc/passwd", "//content/../etc/passwd"),
        *("http://x/content/../../etc/passwd", "http://x/assets/../outside/secret.txt", "file:///etc/passwd"),
        *("http://x/content/%2e%2e/outside/secret.txt", "https://x:1/assets/..%2foutside/secret.txt", "*"),
        *("x:443", "\\"),
        *("/content/../assets/../outside/secret.txt", "/assets/../content/audio/../../outside/secret.txt"),
        "///etc/passwd",
        *("/assets\\..\\outside\\secret.txt", "/content%2f..%2foutside/secret.txt"),
        *("/assets/\xff\xfe", "/assets/\xc0\xae"),
    ],
)
def test_an_odd_request_line_never_leads_out(target, server):
    token = bearer(user_id=1, user_type="child")["Authorization"]
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
    answer = server.send(request.encode("latin-1"))
    assert not leaks(answer)
    assert answer[9:12] in (b"400", b"404", b"405")


def test_an_absolute_address_is_the_file_it_names(server):
    request = b"GET http://somewhere.example/assets/audio/song.mp3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert server.send(request).endswith(SONG)


# The connection


def test_no_answer_spoils_the_connection(server, tag):
    """Each answer must end where its headers say, or the next one is read from its rest."""
    token = bearer(user_id=1, user_type="parent")
    path = "/content/audio/song.mp3"
    answers = server.ask_in_a_row(
        ("GET", path, token),
        ("HEAD", path, token),
        ("GET", path, token | {"If-None-Match": tag}),
        ("GET", path, token | {"Range": "bytes=0-9"}),
        ("GET", path, token | {"Range": "bytes=0-9,20-29"}),
        ("GET", path, token | {"Range": "bytes=5000-"}),
        ("GET", path, token | {"If-Match": '"other"'}),
        ("HEAD", "/content/none.mp3", token),
        ("GET", "/content/empty.txt", token),
        ("GET", "/content/none.mp3", token),
        ("GET", path, {}),
        ("GET", path, token),
    )
    assert [answer.status for answer in answers] == [200, 200, 304, 206, 206, 416, 412, 404, 200, 404, 401, 200]
    assert (answers[0].body, answers[-1].body) == (SONG, SONG)


def test_a_client_who_goes_away_leaves_no_file_open(server):
    for headers in (b"", b"Range: bytes=0-60000000\r\n", b"Range: bytes=0-30000000,30000001-60000000\r\n"):
        with closing(server.connect()) as connection:
            connection.sendall(b"GET /assets/video/large.mp4 HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
            assert connection.recv(9) == b"HTTP/1.1 "
            assert server.open_files("large.mp4") == 1
        assert settles_at(0, lambda: server.open_files("large.mp4"))
    assert server.ask("/assets/audio/song.mp3").body == SONG


def test_many_clients_at_once_each_get_their_bytes(server):
    bodies = {}

    def fetch(number):
        header = f"bytes={number * 10}-{number * 10 + 9}"
        bodies[number] = server.ask("/assets/audio/song.mp3", headers={"Range": header}).body

    threads = [threading.Thread(target=fetch, args=[number]) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == {number: SONG[number * 10 : number * 10 + 10] for number in range(40)}


def test_no_way_of_answering_leaves_a_file_open(app, tag):
    """Also when nobody reads the answer."""
    asks = [{}, {"Range": "bytes=5-"}, {"Range": "bytes=0-9,20-29"}, {"Range": "bytes=5000-"}, {"If-None-Match": tag}]
    before = open_song_files()
    for headers in (*asks, {"If-Match": '"other"'}):
        for method in ("GET", "HEAD"):
            for path in ("audio/song.mp3", "none.mp3", "audio", "pipe"):
                response = app.test_client().open(f"/assets/{path}", method=method, headers=headers, buffered=False)
                response.close()
                assert open_song_files() == before, (method, path, headers)


def test_assets_need_no_database(make_app, library):
    away = make_app(
        "postgresql://nobody@127.0.0.1:1/none", **{name: library[name] for name in library if "PATH" in name}
    )
    assert in_process(away)("/assets/audio/song.mp3").body == SONG


# Behind nginx


PATHS_BEHIND_NGINX = [
    *("content/audio/song.mp3", f"content/{HASHED}", "content/types/x.html", "content/types/x.pdf", "assets/empty.txt")
]


@pytest.mark.parametrize("path", PATHS_BEHIND_NGINX)
def test_behind_nginx_the_headers_are_the_same_and_the_bytes_are_nginxs(path, ask_behind_nginx, app):
    child = bearer(user_id=1, user_type="child")
    behind, direct = ask_behind_nginx(f"/{path}"), in_process(app)(f"/{path}", headers=child)
    assert (behind.status, behind.body) == (200, b"")
    assert behind.headers.getlist("X-Accel-Redirect") == [f"/_library/{path}"]
    of_nginx = {"content-length", "x-accel-redirect", "accept-ranges"}
    assert {name: value for name, value in stable(behind.headers).items() if name not in of_nginx} == {
        name: value for name, value in stable(direct.headers).items() if name not in of_nginx
    }


@pytest.mark.parametrize("path", PATHS_BEHIND_NGINX)
def test_behind_nginx_a_head_is_ours(path, ask_behind_nginx, app):
    """nginx would answer it with a range, which only a GET can ask for."""
    headers = bearer(user_id=1, user_type="child") | {"Range": "bytes=0-1"}
    behind, direct = (ask(f"/{path}", "HEAD", headers) for ask in (ask_behind_nginx, in_process(app)))
    assert (behind.status, stable(behind.headers)) == (200, stable(direct.headers))


@pytest.mark.parametrize("tree", ["content", "assets"])
@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_path_for_nginx_is_quoted(name, tree, ask_behind_nginx):
    """nginx unquotes it, cuts it at a question mark, and would take raw UTF-8 for Latin-1."""
    told = ask_behind_nginx(f"/{tree}/odd/{quote(name, safe='')}").headers["X-Accel-Redirect"]
    assert re.fullmatch(r"[A-Za-z0-9_.~/!$&'()*+,;=:@-]+(%[0-9A-F]{2}|[A-Za-z0-9_.~/!$&'()*+,;=:@-])*", told)
    assert unquote(told) == f"/_library/{tree}/odd/{name}"


@pytest.mark.parametrize("conditions", CONDITIONS)
def test_behind_nginx_the_conditions_are_ours(conditions, ask_behind_nginx, tag):
    expected, headers = CONDITIONS[conditions], parsed(conditions, tag)
    answer = ask_behind_nginx("/content/audio/song.mp3", headers=headers)
    of_nginx = expected == 200 and not {"If-Match", "If-Unmodified-Since"} <= headers.keys()  # it would count both
    assert (answer.status, "X-Accel-Redirect" in answer.headers) == (expected, of_nginx)
    if expected == 304:
        assert (answer.headers["ETag"], answer.body) == (tag, b"")


@pytest.mark.parametrize("header", ["bytes=0-9", "bytes=-1"])
def test_behind_nginx_the_ranges_are_nginxs(header, ask_behind_nginx):
    answer = ask_behind_nginx("/content/audio/song.mp3", headers={"Range": header})
    assert (answer.status, answer.body, "Content-Range" in answer.headers) == (200, b"", False)
    assert answer.headers["X-Accel-Redirect"] == "/_library/content/audio/song.mp3"
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("header", ["bytes=x", "bytes=0-,0-", "lines=1-2"])
def test_behind_nginx_a_range_that_does_not_count_gets_the_whole_file_from_us(header, ask_behind_nginx):
    """nginx counts some of them."""
    answer = ask_behind_nginx("/content/audio/song.mp3", headers={"Range": header})
    assert (answer.status, answer.body, "X-Accel-Redirect" in answer.headers) == (200, SONG, False)


@pytest.mark.parametrize("header", ["bytes=5000-", "bytes=-0"])
def test_behind_nginx_a_range_past_the_end_is_ours(header, ask_behind_nginx):
    answer = ask_behind_nginx("/content/audio/song.mp3", headers={"Range": header})
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")
    assert "X-Accel-Redirect" not in answer.headers


@pytest.mark.parametrize(
    "target", ["none.mp3", "..%2foutside/secret.txt", "link.txt", "folder_link/secret.txt", "pipe", "audio"]
)
@pytest.mark.parametrize("tree", ["content", "assets"])
def test_behind_nginx_no_other_file_is_named(tree, target, ask_behind_nginx):
    answer = ask_behind_nginx(f"/{tree}/{target}")
    assert (answer.status, "X-Accel-Redirect" in answer.headers) == (404, False)


def fill(folder):
    """Files of every kind below `folder`, and what must not be served."""
    types = [*CONTENT_TYPES, *map(str.upper, CONTENT_TYPES), *ASSET_TYPES, *NEVER_RUN]
    files = {f"types/x.{extension}": b"x" for extension in types} | {"types/mp3": b"x", "types/README": b"x"}
    files |= {f"odd/{name}": name.encode() for name in ODD_NAMES}
    files |= {
        "audio/song.mp3": SONG,
        HASHED: SONG,
        "audio/lesson-20240115.mp3": SONG,
        "audio/shorter.mp3": SONG[1:],
        "empty.txt": b"",
        "2026/1.mp3": b"numbers",
    }
    put_files(folder, files, MODIFIED)
    put_files(folder, {"audio/younger.mp3": SONG}, MODIFIED + 1)
    put_files(folder, {".hidden.txt": SECRET, ".git/config": SECRET, "audio/.partial-x": SECRET}, MODIFIED)
    (folder / "link.txt").symlink_to(folder.parent / "outside/secret.txt")
    (folder / "folder_link").symlink_to(folder.parent / "outside")
    (folder / "inner_link.mp3").symlink_to("audio/song.mp3")
    (folder / "inner_folder_link").symlink_to("audio")
    (folder / "broken_link").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    (folder / "video").mkdir()
    with (folder / "video/large.mp4").open("wb") as large:
        large.seek(LARGE_BYTES - 6)
        large.write(b"theend")


def parsed(conditions, tag):
    """The headers of a line such as ``If-Match: TAG | If-Modified-Since: …``."""
    return {
        name: value.replace("TAG", tag)
        for name, _, value in (condition.partition(": ") for condition in conditions.split(" | "))
    }


def assert_evaluated(answer, expected, body):
    assert answer.status == expected
    if expected in (200, 206):
        assert answer.body == body
    elif expected == 304:
        assert answer.body == b""
        assert {"ETag", "Cache-Control"} <= set(answer.headers.keys())
        assert not {"Content-Length", "Content-Type", "Content-Range"} & set(answer.headers.keys())
    else:
        assert answer.headers["Content-Type"] == "application/json"
        assert "Content-Range" not in answer.headers


def content_range(part):
    start, stop, _ = part.indices(SIZE)
    return f"bytes {start}-{stop - 1}/{SIZE}"


def parts_of(answer):
    """Headers (small names) and bytes of each part of a ``multipart/byteranges`` body, RFC 2046 section 5.1."""
    boundary = re.fullmatch(
        r"multipart/byteranges; boundary=([A-Za-z0-9'()+_,./:=?-]{1,70})", answer.headers["Content-Type"]
    )
    delimiter = b"\r\n--" + boundary[1].encode()
    preamble, *parts, end = (b"\r\n" * answer.body.startswith(b"--") + answer.body).split(delimiter)
    assert (preamble, end.strip()) == (b"", b"--")
    found = []
    for part in parts:
        head, _, body = part.partition(b"\r\n\r\n")
        assert head.startswith(b"\r\n")
        lines = head.decode("ascii").split("\r\n")[1:]
        found.append(({name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}, body))
    return found


CHANGING = ("date", "server", "connection", "x-request-id")


def stable(headers):
    """Headers by small names, without what changes from request to request."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {name: lower[name] for name in lower if name not in CHANGING and not name.startswith("x-ratelimit-")}


def leaks(answer):
    return SECRET in answer or b"root:" in answer or SONG in answer or b"Set-Cookie" in answer.partition(b"\r\n\r\n")[0]


def open_song_files():
    return sum(
        entry.is_symlink() and entry.readlink().name in ("song.mp3", "pipe", "audio")
        for entry in Path("/proc/self/fd").iterdir()
    )


def settles_at(wanted, ask, seconds=10):
    """Whether `ask` comes to say `wanted` before that many seconds are over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ask() == wanted:
            return True
        time.sleep(0.05)
    return False
