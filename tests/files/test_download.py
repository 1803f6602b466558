"""Downloads: saved under the item's title, for those who see the item, each counted once."""

import threading
from pathlib import Path

import pytest

from library_server.usage.flushing import flush
from tests.conftest import bearer, make_parent
from tests.files.serving import put_files, reader
from tests.lib.disposition import parse

SONG = b"0123456789" * 10
PATH = "audio/song-3f2a9c1e.mp3"

on_one_shape = pytest.mark.parametrize("shape", ["backend"])
both_ways = pytest.mark.parametrize("address", ["/content/{}/download", "/download/{}"])


@pytest.fixture(autouse=True)
def _song(app):
    put_files(content_folder(app), {PATH: SONG}, 1_767_607_200)


@pytest.fixture
def client(app):
    return reader(app)


@pytest.fixture
def item(make_item):
    """An item whose file is the song; it has been used three times."""
    return make_item(title="The Itsy Bitsy Spider", file_path=PATH, usage_count=3)


# What is saved


@pytest.mark.parametrize("who", ["as_parent", "as_child"])
@pytest.mark.parametrize("slash", ["", "/"])
@both_ways
def test_the_file_is_saved_under_the_items_title(address, slash, who, client, item, request):
    response = client.get(address.format(item) + slash, headers=request.getfixturevalue(who))
    assert (response.status_code, response.data) == (200, SONG)
    assert parse(response.headers["Content-Disposition"]) == ("The Itsy Bitsy Spider.mp3", "The Itsy Bitsy Spider.mp3")


@on_one_shape
@both_ways
def test_a_download_has_the_files_own_headers(address, client, item, as_child):
    plain = client.get(f"/content/{PATH}", headers=as_child)
    download = client.get(address.format(item), headers=as_child)
    names = {name for name, _ in plain.headers} | {"Content-Disposition"}
    assert {name for name, _ in download.headers} == names
    changing = {
        "Date",
        "X-Request-ID",
        "Content-Disposition",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
        "Cache-Control",
    }
    assert {name: download.headers[name] for name in names - changing} == {
        name: plain.headers[name] for name in names - changing
    }
    assert download.headers["Cache-Control"] == "private, no-cache"  # the item may come to have another file


@on_one_shape
@pytest.mark.parametrize(
    ("title", "name", "plain"),
    [
        ('He said "hi"; then\\left', "He said hi ; then left.mp3", None),
        ("Für Elise, größer", "Für Elise, größer.mp3", None),
        ("🎵", "🎵.mp3", "download.mp3"),
        ("歌 🎵 song", "歌 🎵 song.mp3", "song.mp3"),
        ("a\r\nSet-Cookie: x=1", "a Set-Cookie x=1.mp3", "a Set-Cookie x=1.mp3"),
        ("../../etc/passwd", "etc passwd.mp3", "etc passwd.mp3"),
        ("song.exe", "song.exe.mp3", "song.exe.mp3"),
        ("x\uff02; filename=\uff02evil.exe", None, None),
        ("x" * 200, "x" * 120 + ".mp3", "x" * 120 + ".mp3"),
    ],
    ids=["quotes", "umlauts", "emoji", "mixed", "line breaks", "a path", "a program", "wide quotes", "long"],
)
def test_any_title_makes_a_name(title, name, plain, client, make_item, as_child):
    response = client.get(f"/content/{make_item(title=title, file_path=PATH)}/download", headers=as_child)
    told = parse(response.headers["Content-Disposition"])
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    assert told[0] == (name or told[0])
    assert told[1] == (plain or told[1])
    assert told[0].endswith(".mp3")
    assert told[1].endswith(".mp3")


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"title": "", "content_metadata": {"title": "From metadata"}}, "From metadata.mp3"),
        ({"title": "", "content_metadata": {}}, "song-3f2a9c1e.mp3"),
        ({"title": " . ", "content_metadata": {}}, "download.mp3"),
    ],
    ids=["metadata", "the file", "nothing left"],
)
def test_a_missing_title_falls_back_as_in_the_item(values, name, client, make_item, as_child):
    response = client.get(f"/content/{make_item(file_path=PATH, **values)}/download", headers=as_child)
    assert parse(response.headers["Content-Disposition"])[0] == name


@on_one_shape
@pytest.mark.parametrize(
    ("path", "ending", "media_type"),
    [
        ("documents/x.PDF", ".pdf", "application/pdf"),
        ("documents/x.html", ".html", "application/octet-stream"),
        ("documents/x", "", "application/octet-stream"),
        ('documents/x.a"b', None, "application/octet-stream"),
        ("documents/x.日本", None, "application/octet-stream"),
    ],
)
def test_the_name_has_the_files_extension_and_the_answer_its_type(
    path, ending, media_type, app, client, make_item, as_child
):
    put_files(content_folder(app), {path: b"x"}, 1)
    response = client.get(f"/content/{make_item(title='T', file_path=path)}/download", headers=as_child)
    assert (response.status_code, response.headers["Content-Type"]) == (200, media_type)
    name, _ = parse(response.headers["Content-Disposition"])
    assert ending is None or name == f"T{ending}"


@on_one_shape
@both_ways
def test_ranges_and_conditions_work_as_for_the_file(address, client, item, as_child):
    url = address.format(item)
    whole = client.get(url, headers=as_child)
    part = client.get(url, headers=as_child | {"Range": "bytes=95-", "If-Range": whole.headers["ETag"]})
    assert (part.status_code, part.data, part.headers["Content-Range"]) == (206, b"56789", "bytes 95-99/100")
    assert part.headers["Content-Disposition"] == whole.headers["Content-Disposition"]
    statuses = {
        client.get(url, headers=as_child | headers).status_code
        for headers in ({"If-None-Match": whole.headers["ETag"]}, {"If-Match": '"x"'}, {"Range": "bytes=100-"})
    }
    assert statuses == {304, 412, 416}
    head = client.head(url, headers=as_child)
    assert (head.data, head.headers["Content-Length"]) == (b"", "100")
    assert head.headers["Content-Disposition"] == whole.headers["Content-Disposition"]


# Who may


@on_one_shape
@both_ways
def test_nobody_downloads_without_a_token(address, client, item, as_child):
    response = client.get(address.format(item))
    assert (response.status_code, message(response)) == (401, "Authentication token is missing")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    response = client.get(address.format(item), headers={"Authorization": "Bearer garbage"})
    assert (response.status_code, message(response)) == (401, "Token is invalid")


@on_one_shape
@both_ways
def test_public_files_are_still_downloaded_by_users_only(address, make_app, database_url, item):
    client = reader(make_app(database_url, CONTENT_FILES_ACCESS="public"))
    assert client.get(address.format(item)).status_code == 401


@on_one_shape
@both_ways
@pytest.mark.parametrize("number", ["0", "99", str(2**31), str(2**63), "9" * 100])
def test_an_item_that_does_not_exist_is_not_found(number, address, client, as_child):
    response = client.get(address.format(number), headers=as_child)
    assert (response.status_code, message(response)) == (404, "Content not found")


@pytest.mark.parametrize("who", ["as_parent", "as_child"])
@both_ways
def test_a_retired_item_is_not_found(address, who, client, item, sql, request):
    sql("UPDATE content_library SET active = false")
    response = client.get(address.format(item), headers=request.getfixturevalue(who))
    assert (response.status_code, message(response)) == (404, "Content not found")


@on_one_shape
@both_ways
@pytest.mark.parametrize(
    "path",
    [None, "", "audio/none.mp3", "audio", "../secret.txt", "/etc/passwd", "audio/\x01.mp3", ".hidden", "x" * 400],
)
def test_an_item_whose_file_is_not_there_is_not_found(path, address, app, client, make_item, sql, as_child):
    put_files(content_folder(app), {".hidden": b"x", "../secret.txt": b"x"}, 1)
    item = make_item(title="T", file_path=path)
    response = client.get(address.format(item), headers=as_child)
    assert (response.status_code, message(response)) == (404, "Content file not found")
    assert_counted(app, sql, item, None)


@on_one_shape
@pytest.mark.parametrize("number", ["-1", "1.0", "1x", "x", "%31%00", " 1"])
def test_what_is_no_number_is_not_found(number, client, item, as_child):
    for address in ("/content/{}/download", "/download/{}"):
        response = client.get(address.format(number), headers=as_child)
        assert (response.status_code, response.headers["Content-Type"]) == (404, "application/json")


@on_one_shape
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@both_ways
def test_a_download_is_only_read(address, method, client, item, as_parent):
    response = client.open(address.format(item), method=method, headers=as_parent)
    assert (response.status_code, response.headers["Content-Type"]) == (405, "application/json")


# Counting


@both_ways
def test_a_download_counts_once(address, app, client, item, sql, as_child):
    assert client.get(address.format(item), headers=as_child).status_code == 200
    assert_counted(app, sql, item, 4)


@on_one_shape
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Range": "bytes=0-"}, 206),
        ({"Range": "bytes=0-9"}, 206),
        ({"Range": "bytes=x"}, 200),
        ({"Range": "bytes=50-", "If-Range": '"of another version"'}, 200),
        ({"Range": "bytes=0-9,20-29"}, 206),
        ({"If-None-Match": '"other"'}, 200),
    ],
    ids=[
        "from the first byte",
        "the first bytes",
        "a broken range",
        "a file that has changed",
        "parts",
        "anew",
    ],
)
def test_any_delivery_from_the_first_byte_counts_once(headers, status, app, client, item, sql, as_child):
    assert client.get(f"/content/{item}/download", headers=as_child | headers).status_code == status
    assert_counted(app, sql, item, 4)


def test_an_item_that_was_never_counted_is_counted_from_nothing(app, client, make_item, sql, as_child):
    item = make_item(file_path=PATH, usage_count=None)
    client.get(f"/content/{item}/download", headers=as_child)
    assert_counted(app, sql, item, 1)


def test_nothing_else_counts(app, client, item, sql, as_child):
    """One download comes last: what was counted wrongly before it shows with it."""
    url = f"/content/{item}/download"
    tag = client.head(url, headers=as_child).headers["ETag"]
    others = [
        ("GET", {"Range": "bytes=1-"}, 206),
        ("GET", {"Range": "bytes=99-"}, 206),
        ("GET", {"Range": "bytes=-5"}, 206),
        ("GET", {"Range": "bytes=5-,6-6"}, 206),
        ("GET", {"Range": "bytes=60-,70-"}, 206),
        ("GET", {"Range": "bytes=100-"}, 416),
        ("GET", {"If-None-Match": tag}, 304),
        ("GET", {"If-None-Match": tag, "Range": "bytes=0-"}, 304),
        ("GET", {"If-Match": '"other"'}, 412),
        ("HEAD", {"Range": "bytes=0-"}, 200),
        ("GET", {"Authorization": ""}, 401),
        ("POST", {}, 405),
    ]
    for method, headers, status in others:
        assert client.open(url, method=method, headers=as_child | headers).status_code == status, (method, headers)
    assert client.get(f"/content/{PATH}", headers=as_child).status_code == 200  # the file itself is no download
    client.get(url, headers=as_child)
    assert_counted(app, sql, item, 4)


def test_a_count_changes_neither_the_item_nor_another_one(app, client, item, make_item, sql, as_child):
    other = make_item(file_path=PATH, usage_count=8)
    before = sql("SELECT title, updated_at, active, file_path FROM content_library ORDER BY id")
    client.get(f"/content/{item}/download", headers=as_child)
    assert_counted(app, sql, item, 4)
    assert sql("SELECT title, updated_at, active, file_path FROM content_library ORDER BY id") == before
    assert_counted(app, sql, other, 8)


def test_behind_nginx_the_same_counts(make_app, database_url, redis, item, sql, as_child):
    app = make_app(database_url, USE_X_ACCEL_REDIRECT="true")
    client = reader(app)
    url = f"/content/{item}/download"
    whole = client.get(url, headers=as_child)
    assert (whole.headers["X-Accel-Redirect"], whole.data) == (f"/_library/content/{PATH}", b"")
    assert parse(whole.headers["Content-Disposition"])[0] == "The Itsy Bitsy Spider.mp3"
    for headers in ({"Range": "bytes=5-"}, {"If-None-Match": whole.headers["ETag"]}, {"If-Match": '"x"'}):
        client.get(url, headers=as_child | headers)
    client.head(url, headers=as_child)
    assert_counted(app, sql, item, 4)
    client.get(url, headers=as_child | {"Range": "bytes=0-"})
    assert_counted(app, sql, item, 5)


def test_twenty_downloads_at_once_are_twenty(app, item, sql, parent):
    people = [bearer(user_id=number, user_type="parent") for number in (parent, make_parent(sql))]
    gate, bodies = threading.Barrier(20), []

    def download(headers):
        gate.wait(10)
        bodies.append(reader(app).get(f"/content/{item}/download", headers=headers).data)

    threads = [threading.Thread(target=download, args=[headers]) for headers in people * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [SONG] * 20
    assert_counted(app, sql, item, 23)


def assert_counted(app, sql, item, expected):
    """Once the counts of this application's process are written."""
    with app.app_context():
        flush()
    assert sql("SELECT usage_count FROM content_library WHERE id = %s", (item,)) == [{"usage_count": expected}]


def content_folder(app):
    return Path(app.extensions["library_config"].content_storage_path)


def message(response):
    return response.get_json()["message"]
