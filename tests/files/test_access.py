"""Who may see a file: by a token, by a signed link, and what neither opens."""

import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import pytest
from sqlalchemy import event

from library_server.extensions import db
from library_server.lib import signing
from library_server.web import links
from library_server.web.changes import look_for_changes
from tests.conftest import bearer, make_parent
from tests.files.serving import put_files, reader

NOON = 1_767_614_400.0
SONG = b"la la la"
PATH = "audio/song.mp3"
URL = f"/content/{PATH}"
ODD_PATHS = [
    "audio/Für Elise & 50% + more?.mp3",
    "日本 語/😀#1;x=y.mp3",
    "audio/\"a\" 'b' <c>@$!,(d)[e]{f}^`|~*.mp3",
    "audio/%2e%2e%00+.mp3",
    "audio/e\u0301.mp3",
    "2026/5",
]
MISSING_TOKEN = (401, "Authentication token is missing")
INVALID = (403, "Link is invalid")
EXPIRED = (403, "Link has expired")
NOT_FOUND = (404, "Content file not found")
SERVED = (200, None)

on_one_shape = pytest.mark.parametrize("shape", ["backend"])


@pytest.fixture(autouse=True)
def _song(app):
    put_files(content_folder(app), {PATH: SONG, "audio/other.mp3": b"other"}, 1_767_607_200)


@pytest.fixture
def client(app):
    return reader(app)


@pytest.fixture
def start(make_app, database_url, redis):
    """``start(NAME=value…)``: a client of an application with these settings and the same folders and tables."""
    apps = []

    def get(**settings):
        apps.append(make_app(database_url, **settings))
        return reader(apps[-1])

    yield get
    for made in apps:
        with made.app_context():
            db.engine.dispose()


@pytest.fixture
def clock(monkeypatch):
    """``clock.now``: the time that links go by."""
    clock = SimpleNamespace(now=NOON)
    monkeypatch.setattr(links, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


@pytest.fixture
def link(app, make_item, client, as_parent):
    """The file_url of an item that owns the song."""
    item = make_item(file_path=PATH)
    return client.get(f"/content/{item}", headers=as_parent).get_json()["content"]["file_url"]


# Tokens


def test_nobody_sees_a_file_without_a_token(client):
    response = client.get(URL)
    assert answer(response) == MISSING_TOKEN
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert client.head(URL).status_code == 401


@pytest.mark.parametrize("spelling", ["guide", "backend"])
@pytest.mark.parametrize("kind", ["parent", "child"])
def test_parents_and_children_see_a_file(kind, spelling, client, parent, child):
    user = {"parent": parent, "child": child}[kind]
    claims = {"user_id": user, "user_type": kind} if spelling == "guide" else {"id": user, "type": kind}
    response = client.get(URL, headers=bearer(**claims))
    assert (response.status_code, response.data) == (200, SONG)


@on_one_shape
@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"Authorization": "Bearer garbage"}, (401, "Token is invalid")),
        ({"Authorization": "Bearer"}, (401, "Invalid authorization header format")),
        ({"Authorization": "Basic cGFyZW50OnBhc3N3b3Jk"}, (401, "Invalid authorization header format")),
        (bearer(user_id=1, user_type="parent", exp=1), (401, "Token has expired")),
        (bearer("another-secret-of-at-least-32-bytes", user_id=1, user_type="parent"), (401, "Token is invalid")),
        (bearer(user_id=99, user_type="parent"), (401, "User not found")),
        (bearer(user_id=1), (401, "Invalid token structure")),
    ],
    ids=["garbage", "no token", "another scheme", "expired", "another secret", "a stranger", "no kind"],
)
def test_a_bad_token_opens_no_file(header, expected, client, parent):
    response = client.get(URL, headers=header)
    assert answer(response) == expected
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_token_opens_no_file(client, as_parent, redis):
    redis.set(f"blacklisted_token:{as_parent['Authorization'].split()[1]}", "1", ex=60)
    assert answer(client.get(URL, headers=as_parent)) == (401, "Token has been revoked")


@on_one_shape
@pytest.mark.parametrize("name", ["token", "access_token", "jwt", "Authorization", "bearer"])
def test_a_token_in_the_address_opens_no_file(name, client, as_parent):
    token = as_parent["Authorization"].split()[1]
    client.set_cookie(name, token)
    assert answer(client.get(URL, query_string={name: token})) == MISSING_TOKEN


def test_a_missing_file_and_one_that_is_there_look_alike_to_nobody(client):
    assert answer(client.get("/content/none.mp3")) == answer(client.get(URL)) == MISSING_TOKEN


@on_one_shape
def test_assets_are_for_anyone(app, client):
    put_files(Path(app.extensions["library_config"].assets_storage_path), {"icons/star.svg": b"<svg/>"}, 1)
    for headers in ({}, {"Authorization": "Bearer garbage"}, {"Authorization": "x"}):
        assert client.get("/assets/icons/star.svg?signature=x", headers=headers).data == b"<svg/>"


# Links


def test_the_link_in_an_item_opens_its_file(client, link):
    response = client.get(link)
    assert (response.status_code, response.data, response.headers["Content-Type"]) == (200, SONG, "audio/mpeg")
    assert client.head(link).status_code == 200
    assert client.get(link, headers={"Range": "bytes=3-4"}).data == b"la"


def test_every_list_has_links_that_open_the_files(client, as_child, link):
    listed = client.get("/content", headers=as_child).get_json()["content"]
    assert [client.get(item["file_url"]).data for item in listed] == [SONG]


def test_an_item_without_a_file_has_no_link(client, as_child, make_item):
    for path in (None, ""):
        item = make_item(file_path=path)
        assert client.get(f"/content/{item}", headers=as_child).get_json()["content"]["file_url"] is None


@on_one_shape
@pytest.mark.parametrize("path", ODD_PATHS)
def test_a_link_to_a_name_of_any_script_opens_the_file(path, app, client, make_item, as_child):
    put_files(content_folder(app), {path: path.encode()}, 1)
    item = client.get(f"/content/{make_item(file_path=path)}", headers=as_child).get_json()["content"]
    assert item["file_path"] == path
    assert item["file_url"].isascii()
    assert not set(item["file_url"]) & set(' "<>\\^`{|}')
    assert unquote(urlsplit(item["file_url"]).path) == f"/content/{path}"
    assert client.get(item["file_url"]).data == path.encode()


@on_one_shape
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda query: query | {"signature": query["signature"][::-1]}, id="another signature"),
        pytest.param(lambda query: query | {"signature": query["signature"][:-1]}, id="a digit less"),
        pytest.param(lambda query: query | {"signature": query["signature"] + "0"}, id="a digit more"),
        pytest.param(lambda query: query | {"signature": query["signature"].upper()}, id="capitals"),
        pytest.param(lambda query: query | {"signature": ""}, id="an empty signature"),
        pytest.param(lambda query: query | {"signature": "é😀"}, id="a signature in no ASCII"),
        pytest.param(lambda query: query | {"signature": "0" * 64}, id="zeros"),
        pytest.param(lambda query: query | {"expires": str(int(query["expires"]) + 1)}, id="a second more"),
        pytest.param(lambda query: query | {"expires": str(int(query["expires"]) - 1)}, id="a second less"),
        pytest.param(lambda query: query | {"expires": query["expires"] + "0"}, id="ten times as long"),
        pytest.param(lambda query: query | {"expires": "0" + query["expires"]}, id="a zero before"),
        pytest.param(lambda query: query | {"expires": "+" + query["expires"]}, id="a sign"),
        pytest.param(lambda query: query | {"expires": query["expires"] + ".0"}, id="a fraction"),
        pytest.param(lambda query: query | {"expires": query["expires"] + "\n"}, id="a line break"),
        pytest.param(lambda query: query | {"expires": f"{query['expires']}\n{PATH}"}, id="the path in it"),
        pytest.param(lambda query: query | {"expires": "never"}, id="no number"),
        pytest.param(lambda query: query | {"expires": ""}, id="an empty end"),
        pytest.param(lambda query: query | {"expires": "9" * 10_000}, id="the end of time"),
        pytest.param(lambda query: {"signature": query["signature"]}, id="no end"),
        pytest.param(lambda query: query | {"audience": "editors"}, id="for editors"),
        pytest.param(lambda query: {"signature": "x"} | {"SIGNATURE": query["signature"]}, id="capitals in a name"),
    ],
)
def test_a_link_that_was_changed_is_invalid(change, client, link):
    query = dict(parse_qsl(urlsplit(link).query))
    assert answer(client.get(URL, query_string=query)) == SERVED
    response = client.get(URL, query_string=change(query))
    assert answer(response) == INVALID
    assert response.headers["Cache-Control"] == "no-store"


@on_one_shape
@pytest.mark.parametrize(
    "path", ["audio/other.mp3", "audio/Song.mp3", "audio", "none.mp3", "audio/song.mp3.bak", "song.mp3"]
)
def test_a_link_opens_no_other_file(path, client, link):
    assert answer(client.get(f"/content/{path}?{urlsplit(link).query}")) == INVALID


@on_one_shape
@pytest.mark.parametrize("path", ["/content/1", "/content/1/download", "/download/1", "/content", "/content/subjects"])
def test_a_link_opens_nothing_but_a_file(path, client, link):
    assert answer(client.get(f"{path}?{urlsplit(link).query}")) == MISSING_TOKEN


@on_one_shape
def test_of_two_signatures_in_one_address_a_wrong_one_is_not_helped_by_the_other(client, link):
    query = urlsplit(link).query
    outcomes = {client.get(f"{URL}?{text}").status_code for text in (f"signature=0&{query}", f"{query}&signature=0")}
    assert 403 in outcomes


@on_one_shape
def test_an_end_without_a_signature_is_no_link(client, link):
    assert answer(client.get(URL, query_string={"expires": str(2**40)})) == MISSING_TOKEN


@on_one_shape
@pytest.mark.parametrize("name", ["expires", "signature", "x", "SIGNATURE"])
def test_other_arguments_do_not_stand_in_the_way(name, client, link, as_child):
    assert answer(client.get(f"{link}&{name}=x")) == SERVED
    assert answer(client.get(f"{URL}?{name}=x", headers=as_child)) == SERVED


def test_the_link_of_another_secret_is_invalid(client, start, link, as_parent):
    other = start(SECRET_KEY="another-secret-of-at-least-32-bytes")
    assert answer(other.get(link)) == INVALID
    theirs = bearer("another-secret-of-at-least-32-bytes", user_id=1, user_type="parent")
    link_of_theirs = other.get("/content/1", headers=theirs).get_json()["content"]["file_url"]
    assert answer(other.get(link_of_theirs)) == SERVED
    assert answer(client.get(link_of_theirs)) == INVALID
    assert signature_of(link) != signature_of(link_of_theirs)


@on_one_shape
def test_the_secret_itself_does_not_sign_links(app, client, parent):
    """Who may check links, as nginx may, cannot make tokens, and the other way round."""
    secret = app.extensions["library_config"].secret_key
    end = str(int(time.time()) + 600)
    assert answer(client.get(URL, query_string=query_of(secret, "all", end, PATH))) == INVALID
    with app.app_context():
        key = links.link_key()
    assert answer(client.get(URL, query_string=query_of(key, "all", end, PATH))) == SERVED
    assert answer(client.get(URL, headers=bearer(key, user_id=parent, user_type="parent"))) == (401, "Token is invalid")


@on_one_shape
def test_an_old_link_has_expired(app, client):
    past = signed(app, int(time.time()) - 1)
    assert answer(client.get(past)) == EXPIRED
    assert answer(client.get(signed(app, 0))) == EXPIRED
    assert answer(client.get(past.replace("song", "other"))) == INVALID
    assert answer(client.get(signed(app, int(time.time()) + 60))) == SERVED


@on_one_shape
def test_a_link_lives_as_long_as_it_says(app, client, clock, link):
    link = file_url(app)
    end = int(dict(parse_qsl(urlsplit(link).query))["expires"])
    for now, expected in (
        (clock.now, SERVED),
        (end - 1, SERVED),
        (end, EXPIRED),
        (end + 0.5, EXPIRED),
        (2**40, EXPIRED),
    ):
        clock.now = now
        assert answer(client.get(link)) == expected


@on_one_shape
@pytest.mark.parametrize("ttl", [60, 61, 600, 3600, 7 * 86_400])
def test_links_live_at_least_their_time_and_not_much_longer(ttl, start, clock):
    app = start(SIGNED_URL_TTL=ttl).application
    for offset in (0, 0.001, 1, 7.5, ttl / 8, ttl / 4 - 1, ttl / 4, ttl / 4 + 0.5, ttl, ttl * 3.3):
        clock.now = NOON + offset
        left = int(dict(parse_qsl(urlsplit(file_url(app)).query))["expires"]) - clock.now
        assert ttl <= left <= ttl * 1.25 + 1


@on_one_shape
def test_an_hours_links_repeat_for_a_quarter_of_it(app, clock):
    urls = []
    for minute in range(120):
        clock.now = NOON + 60 * minute + 1
        urls.append(file_url(app))
    assert [urls.count(url) for url in dict.fromkeys(urls)] == [15] * 8


def test_a_list_asked_for_twice_is_the_same_to_a_cache(client, as_child, link, clock):
    clock.now = NOON + 1
    first = client.get("/content", headers=as_child)
    clock.now += 14 * 60
    again = client.get("/content", headers=as_child | {"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


@on_one_shape
@pytest.mark.parametrize(
    "base", ["https://cdn.example.org", "https://cdn.example.org/", "https://cdn.example.org:8443/library/"]
)
def test_links_may_point_to_a_cdn(base, start, client, as_child, link):
    behind_cdn = start(CDN_BASE_URL=base)
    url = behind_cdn.get("/content/1", headers=as_child).get_json()["content"]["file_url"]
    assert url.startswith(f"{base.rstrip('/')}/content/audio/song.mp3?expires=")
    assert answer(behind_cdn.get(url.removeprefix(base.rstrip("/")))) == SERVED
    public = start(CDN_BASE_URL=base, CONTENT_FILES_ACCESS="public")
    assert public.get("/content/1", headers=as_child).get_json()["content"]["file_url"] == (
        f"{base.rstrip('/')}/content/audio/song.mp3"
    )


# Both


def test_a_good_token_outweighs_a_bad_link(app, client, as_child, link):
    for bad in (f"{URL}?signature=x", f"{URL}?expires=1&signature=", signed(app, 1), f"{link}0"):
        assert answer(client.get(bad, headers=as_child)) == SERVED


@on_one_shape
@pytest.mark.parametrize("header", ["Bearer garbage", "Bearer", "Basic x"])
def test_a_good_link_outweighs_a_bad_token(header, client, link):
    """A page that is signed in by an old token still shows its pictures."""
    assert answer(client.get(link, headers={"Authorization": header})) == SERVED


@on_one_shape
def test_a_bad_link_and_a_bad_token_open_nothing(client, link):
    response = client.get(f"{link}0", headers={"Authorization": "Bearer garbage"})
    assert response.status_code in (401, 403)


# Retired items


@contextmanager
def note_statements():
    statements = []

    def note(connection, cursor, statement, *rest):
        statements.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    yield statements
    event.remove(db.engine, "before_cursor_execute", note)


@pytest.fixture
def retired(sql, link):
    """The link from before, now that the item is retired."""
    sql("UPDATE content_library SET active = false")
    return link


def test_a_link_from_before_is_refused(client, retired):
    assert answer(client.get(retired)) == NOT_FOUND
    assert answer(client.get(retired, headers={"Range": "bytes=0-0"})) == NOT_FOUND
    assert client.head(retired).status_code == 404


def test_what_is_known_of_a_file_costs_no_query_and_ends_with_every_change(start, as_parent, link):
    client = start(CACHE_TTL="3600")
    for expected, status in ((SERVED, 200), (NOT_FOUND, 404), (SERVED, 200)):
        assert answer(client.get(link)) == expected
        with client.application.app_context(), note_statements() as statements:
            assert client.get(link).status_code == status
        assert not any("content_library" in statement for statement in statements)
        change = {"active": status == 404}
        assert client.patch("/content/1", json=change, headers=as_parent).status_code == 200


@on_one_shape
def test_a_retirement_past_this_server_shows_once_it_is_noticed(start, sql, link):
    client = start(CACHE_TTL="3600")
    assert answer(client.get(link)) == SERVED
    sql("UPDATE content_library SET active = false")
    with client.application.app_context():
        look_for_changes()
    assert answer(client.get(link)) == NOT_FOUND


def test_the_file_of_a_retired_item_is_for_editors_only(start, sql, parent, as_child, retired):
    other = bearer(user_id=make_parent(sql), user_type="parent")
    client = start(CONTENT_EDITORS=f"{parent}")
    assert answer(client.get(URL, headers=bearer(user_id=parent, user_type="parent"))) == SERVED
    assert answer(client.get(URL, headers=other)) == NOT_FOUND
    assert answer(client.get(URL, headers=as_child)) == NOT_FOUND
    assert answer(client.get(URL)) == MISSING_TOKEN


@on_one_shape
def test_it_looks_missing_in_every_header(client, as_child, retired):
    refused, missing = (client.get(f"/content/{path}", headers=as_child) for path in (PATH, "none.mp3"))
    assert (refused.data, without_date(refused)) == (missing.data, without_date(missing))


@on_one_shape
def test_no_condition_or_method_tells_of_it(client, as_child, retired):
    for condition in (
        {"If-None-Match": "*"},
        {"If-Match": '"x"'},
        {"If-Modified-Since": "Mon, 05 Jan 2099 10:00:00 GMT"},
    ):
        assert answer(client.get(URL, headers=as_child | condition)) == NOT_FOUND


@pytest.mark.parametrize("address", ["/content?active=all", "/content?active=false", "/content/1?active=all"])
def test_the_link_that_an_editor_is_shown_opens_it(address, client, as_parent, as_child, retired):
    content = client.get(address, headers=as_parent).get_json()["content"]
    link = (content[0] if isinstance(content, list) else content)["file_url"]
    assert answer(client.get(link)) == SERVED
    assert answer(client.get(link, headers=as_child)) == SERVED


@on_one_shape
def test_only_the_link_for_editors_opens_it(app, client, retired):
    end = int(time.time()) + 600
    editors = signed(app, end, "editors")
    assert answer(client.get(editors)) == SERVED
    assert answer(client.get(editors.replace("&audience=editors", ""))) == INVALID
    assert answer(client.get(editors.replace("editors", "all"))) == INVALID
    assert answer(client.get(f"{retired}&audience=editors")) == INVALID
    assert answer(client.get(signed(app, end, "EDITORS"))) == INVALID
    assert answer(client.get(signed(app, int(time.time()) - 1, "editors"))) == EXPIRED


def test_an_old_link_takes_nothing_from_an_editor(client, as_parent, as_child, retired):
    assert answer(client.get(retired, headers=as_parent)) == SERVED
    assert answer(client.get(retired, headers=as_child)) == NOT_FOUND


def test_an_item_that_comes_back_brings_its_link_back(client, sql, as_parent, retired):
    for_editors = client.get("/content/1?active=all", headers=as_parent).get_json()["content"]["file_url"]
    sql("UPDATE content_library SET active = true")
    assert [answer(client.get(link)) for link in (retired, for_editors)] == [SERVED, SERVED]


@pytest.mark.parametrize("active", [True, None])
def test_a_file_that_another_item_still_shows_is_served(active, client, sql, make_item, as_child, retired):
    other = make_item(file_path=PATH, title="Another")
    sql("UPDATE content_library SET active = %s WHERE id = %s", (active, other))
    assert answer(client.get(URL, headers=as_child)) == SERVED
    assert answer(client.get(retired)) == SERVED
    sql("UPDATE content_library SET active = false")
    assert answer(client.get(URL, headers=as_child)) == NOT_FOUND


def test_an_item_that_nobody_said_is_active_counts_as_active(client, sql, as_child, link):
    sql("UPDATE content_library SET active = NULL")
    assert answer(client.get(link)) == answer(client.get(URL, headers=as_child)) == SERVED


def test_retiring_over_http_closes_the_file_at_once(client, as_parent, as_child, link):
    assert answer(client.get(link)) == SERVED
    assert client.delete("/content/1", headers=as_parent).status_code == 200
    assert answer(client.get(link)) == answer(client.get(URL, headers=as_child)) == NOT_FOUND
    assert client.patch("/content/1", headers=as_parent, json={"active": True}).status_code == 200
    assert answer(client.get(link)) == SERVED


def test_purging_takes_the_file_from_everybody(client, as_parent, link):
    assert client.delete("/content/1?purge=true", headers=as_parent).status_code == 200
    assert answer(client.get(link)) == answer(client.get(URL, headers=as_parent)) == NOT_FOUND


def test_a_file_that_no_row_owns_is_for_anyone_signed_in(client, app, as_child):
    assert answer(client.get(URL)) == MISSING_TOKEN
    assert answer(client.get(URL, headers=as_child)) == SERVED
    assert answer(client.get(signed(app, int(time.time()) + 60))) == SERVED


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO heggerty_curriculum_data (lesson_number, skill_focus, activity_type, audio_file_path) "
        "VALUES (1, 'rhyming', 'song', %s)",
        "INSERT INTO nursery_rhyme_data (rhyme_name, audio_file_path) VALUES ('Itsy Bitsy Spider', %s)",
    ],
    ids=["heggerty", "nursery rhyme"],
)
def test_a_file_of_the_curriculum_is_for_anyone_signed_in(statement, client, sql, as_child):
    sql(statement, (PATH,))
    assert answer(client.get(URL)) == MISSING_TOKEN
    assert answer(client.get(URL, headers=as_child)) == SERVED


@on_one_shape
@pytest.mark.parametrize("path", ["audio/a%00b.mp3", "%00", "audio/song.mp3%00", "audio/%ff.mp3", "x" * 10_000])
def test_a_path_that_no_database_holds_is_missing(path, app, client, as_child, as_parent):
    assert answer(client.get(f"/content/{path}", headers=as_child)) == NOT_FOUND
    assert answer(client.get(f"/content/{path}", headers=as_parent)) == NOT_FOUND


# Public


def test_in_public_anyone_gets_any_file(start, link):
    client = start(CONTENT_FILES_ACCESS="public")
    for path in (PATH, "audio/other.mp3"):
        assert answer(client.get(f"/content/{path}")) == SERVED
    assert answer(client.get("/content/none.mp3")) == NOT_FOUND


@on_one_shape
def test_in_public_links_need_no_signature(start, as_child, link):
    client = start(CONTENT_FILES_ACCESS="public")
    assert client.get("/content/1", headers=as_child).get_json()["content"]["file_url"] == URL


@on_one_shape
@pytest.mark.parametrize(
    "query", ["?signature=x", "?expires=1&signature=0", "EXPIRED", "?expires=1", "?audience=editors"]
)
def test_in_public_a_link_from_earlier_is_no_worse_than_none(query, app, start):
    url = signed(app, 1) if query == "EXPIRED" else URL + query
    assert answer(start(CONTENT_FILES_ACCESS="public").get(url)) == SERVED


@on_one_shape
@pytest.mark.parametrize(
    "header",
    [{"Authorization": "Bearer garbage"}, {"Authorization": ""}, bearer(user_id=1, user_type="parent", exp=1)],
    ids=["garbage", "empty", "expired"],
)
def test_in_public_a_bad_token_is_no_worse_than_none(header, start):
    assert answer(start(CONTENT_FILES_ACCESS="public").get(URL, headers=header)) == SERVED


def test_in_public_a_retired_file_is_for_editors_only(start, as_parent, as_child, retired):
    client = start(CONTENT_FILES_ACCESS="public")
    assert (
        answer(client.get(URL)) == answer(client.get(URL, headers=as_child)) == answer(client.get(retired)) == NOT_FOUND
    )
    assert answer(client.get(URL, headers=as_parent)) == SERVED
    link = client.get("/content/1?active=all", headers=as_parent).get_json()["content"]["file_url"]
    assert answer(client.get(link)) == SERVED


# Behind nginx, and when servers are away


def test_behind_nginx_the_same_may_see_the_same(start, parent, as_child, app, retired):
    client = start(USE_X_ACCEL_REDIRECT="true", CONTENT_EDITORS=f"{parent}")
    asked = {
        "nobody": client.get(URL),
        "child": client.get(URL, headers=as_child),
        "editor": client.get(URL, headers=bearer(user_id=parent, user_type="parent")),
        "link": client.get(retired),
        "link for editors": client.get(signed(app, int(time.time()) + 60, "editors")),
        "old link": client.get(signed(app, 1)),
    }
    assert {who: response.status_code for who, response in asked.items()} == {
        "nobody": 401,
        "child": 404,
        "editor": 200,
        "link": 404,
        "link for editors": 200,
        "old link": 403,
    }
    assert {who for who, response in asked.items() if "X-Accel-Redirect" in response.headers} == {
        "editor",
        "link for editors",
    }


@on_one_shape
def test_without_redis_links_and_tokens_open_files(start, as_child, link):
    client = start(REDIS_URL="redis://127.0.0.1:1/0")
    assert answer(client.get(link)) == answer(client.get(URL, headers=as_child)) == SERVED


@on_one_shape
def test_without_postgresql_a_link_is_answered_later(make_app, link):
    response = reader(make_app("postgresql://nobody@127.0.0.1:1/none")).get(link)
    assert (response.status_code, "Retry-After" in response.headers) == (503, True)


def answer(response):
    """Status and message; no message where the file came."""
    if response.status_code == 200:
        return 200, None
    assert response.headers["Content-Type"] == "application/json"
    return response.status_code, response.get_json()["message"]


def content_folder(app):
    return Path(app.extensions["library_config"].content_storage_path)


def file_url(app):
    with app.app_context():
        return links.file_url(PATH)


def query_of(key, audience, end, path):
    return {"expires": end, "signature": signing.sign(key, audience, end, path)}


def signed(app, end, audience="all"):
    """A link to the song that ends at `end`, signed by this application's key."""
    with app.app_context():
        query = query_of(links.link_key(), audience, str(end), PATH)
    return f"{URL}?{urlencode(query | ({} if audience == 'all' else {'audience': audience}))}"


def signature_of(link):
    return dict(parse_qsl(urlsplit(link).query))["signature"]


def without_date(response):
    changing = ("Date", "X-Request-ID", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    return sorted((name, value) for name, value in response.headers if name not in changing)


@on_one_shape
def test_a_file_that_a_lesson_uses_too_is_not_retired_with_its_item(client, as_child, retired, sql):
    assert client.get(URL, headers=as_child).status_code == 404
    sql(
        "INSERT INTO heggerty_curriculum_data (lesson_number, skill_focus, activity_type, audio_file_path) "
        "VALUES (1, 'rhyming', 'song', %s)",
        (PATH,),
    )
    with client.get(URL, headers=as_child) as response:
        assert response.status_code == 200
