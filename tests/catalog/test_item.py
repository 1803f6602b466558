"""One item: its shape, its title whoever made the row, odd stored values, validators, and who sees it."""

import json
from urllib.parse import unquote, urlsplit

import pytest

from tests.conftest import bearer, make_parent

ODD_JSON = {
    "null": "null",
    "number": "5",
    "negative zero": "-0.0",
    "text": '"text"',
    "empty text": '""',
    "boolean": "false",
    "list where an object is meant": '[{"title": "x"}]',
    "half a surrogate pair": r'"\ud800"',
    "the other half": r'["\udc00"]',
    "halves in a wrong order": r'{"\udc00\ud800": "\udc00\ud800"}',
    "half a pair as the title": r'{"title": "\ud800"}',
    "NUL": r'{"title": "a\u0000b", "\u0000": "\u0000"}',
    "a title that is no text": '{"title": {"en": "x"}}',
    "a key twice": '{"title": "a", "title": "b"}',
    "beyond a double": '{"n": [1e999, -1e999]}',
    "an integer of 100 digits": '{"n": %s}' % ("9" * 100),
    "an integer of 5000 digits": '{"n": %s}' % ("9" * 5000),
    "deep": "[" * 300 + "]" * 300,
    "deeper than Python reads": '{"a":' * 3000 + "1" + "}" * 3000,
}
one_shape = pytest.mark.parametrize("shape", ["backend"])


def test_an_item_has_the_contracts_shape(client, as_child, sql, make_item):
    item = make_item(
        title="The Itsy Bitsy Spider",
        description="A spider climbs.",
        content_type="nursery_rhyme",
        subject_area="phonemic_awareness",
        age_range="3-5",
        difficulty_level="beginner",
        skill_objectives=["rhyming"],
        prerequisite_skills={"week": [1]},
        content_metadata={"week": 1},
        file_path="audio/itsy-bitsy-spider-3f2a9c1e.mp3",
        download_priority=1,
        active=True,
        usage_count=42,
        average_completion_time=180,
        success_rate=91,
    )
    sql("UPDATE content_library SET created_at = '2026-01-05 10:00:00', updated_at = '2026-01-06 11:22:33.000045'")
    response = client.get(f"/content/{item}", headers=as_child)
    assert response.status_code == 200
    assert response.mimetype == "application/json"
    assert list(response.get_json()) == ["content"]
    content = response.get_json()["content"]
    assert urlsplit(content.pop("file_url")).path == "/content/audio/itsy-bitsy-spider-3f2a9c1e.mp3"
    assert content == {
        "content_id": item,
        "title": "The Itsy Bitsy Spider",
        "description": "A spider climbs.",
        "content_type": "nursery_rhyme",
        "subject_area": "phonemic_awareness",
        "age_range": "3-5",
        "difficulty_level": "beginner",
        "skill_objectives": ["rhyming"],
        "prerequisite_skills": {"week": [1]},
        "content_metadata": {"week": 1},
        "file_path": "audio/itsy-bitsy-spider-3f2a9c1e.mp3",
        "download_priority": 1,
        "active": True,
        "usage_count": 42,
        "average_completion_time": 180,
        "success_rate": 91,
        "created_at": "2026-01-05T10:00:00",
        "updated_at": "2026-01-06T11:22:33.000045",
    }


def test_what_a_row_lacks_has_a_plain_stand_in(client, as_child, make_item, sql):
    item = make_item(title="")
    content = client.get(f"/content/{item}", headers=as_child).get_json()["content"]
    assert content == {
        "content_id": item,
        "title": f"story {item}",
        "description": None,
        "content_type": "story",
        "subject_area": "math",
        "age_range": "3-5",
        "difficulty_level": None,
        "skill_objectives": [],
        "prerequisite_skills": [],
        "content_metadata": {},
        "file_path": None,
        "file_url": None,
        "download_priority": None,
        "active": True,
        "usage_count": 0,
        "average_completion_time": None,
        "success_rate": None,
        "created_at": None,
        "updated_at": None,
    }


@one_shape
def test_a_row_that_the_backend_made_has_a_title(client, as_child, sql):
    expected = [
        ('{"title": "From the metadata"}', "audio/song.mp3", "From the metadata"),
        ('{"title": "  Spaced  "}', None, "Spaced"),
        ('{"title": ""}', "audio/song.mp3", "song.mp3"),
        ('{"title": "  "}', "audio/song.mp3", "song.mp3"),
        ('{"title": null}', "song.mp3", "song.mp3"),
        ('{"title": 5}', "audio/deep/a song.mp3", "a song.mp3"),
        ('{"title": ["x"]}', None, "lesson 7"),
        ("{}", None, "lesson 8"),
        ('"title"', None, "lesson 9"),
        ("[]", "", "lesson 10"),
        (None, "audio/song.mp3", "song.mp3"),
        (None, None, "lesson 12"),
        (None, "/", "lesson 13"),
    ]
    for metadata, file_path, title in expected:
        made = sql(
            "INSERT INTO content_library (content_type, subject_area, age_range, content_metadata, file_path, active) "
            "VALUES ('lesson', 'math', '3-5', %s, %s, true) RETURNING content_id",
            (metadata, file_path),
        )
        content = client.get(f"/content/{made[0]['content_id']}", headers=as_child).get_json()["content"]
        assert (content["content_id"], content["title"]) == (made[0]["content_id"], title)
    listed = client.get("/content", headers=as_child).get_json()["content"]
    assert [item["title"] for item in listed] == [title for *_, title in expected]


def test_a_title_of_its_own_wins_over_the_metadatas(client, as_child, make_item):
    item = make_item(title="Own", content_metadata={"title": "Other"}, file_path="audio/song.mp3")
    assert client.get(f"/content/{item}", headers=as_child).get_json()["content"]["title"] == "Own"


@one_shape
def test_odd_json_in_the_database_breaks_neither_item_nor_list_nor_change(client, as_parent, make_item, sql, redis):
    neighbour, columns = make_item(), ("skill_objectives", "prerequisite_skills", "content_metadata")
    for name, stored in ODD_JSON.items():
        item = make_item(title="")
        sql(
            f"UPDATE content_library SET {', '.join(f'{column} = %s' for column in columns)} WHERE id = {item}",
            (stored,) * 3,
        )
        got = client.get(f"/content/{item}", headers=as_parent)
        assert (name, got.status_code, bool(_strictly(got)["content"]["title"])) == (name, 200, True)
        listed = client.get("/content", headers=as_parent)
        assert (name, listed.status_code) == (name, 200)
        assert [found["content_id"] for found in _strictly(listed)["content"]] == [neighbour, item]
        assert (name, client.get("/content?q=story", headers=as_parent).status_code) == (name, 200)
        changed = client.patch(f"/content/{item}", json={"description": "New"}, headers=as_parent)
        assert (name, changed.status_code, _strictly(changed)["content"]["description"]) == (name, 200, "New")
        kept = sql(f"DELETE FROM content_library WHERE id = {item} RETURNING content_metadata::text AS kept")
        assert kept == [{"kept": stored}]
        redis.flushdb()


@one_shape
def test_json_is_shown_as_it_is_stored(client, as_child, make_item, sql):
    for stored, shown in {"5": 5, '"text"': "text", "false": False, "null": {}, "[1]": [1], r'"\u0000"': "\0"}.items():
        item = make_item()
        sql("UPDATE content_library SET content_metadata = %s WHERE id = %s", (stored, item))
        assert client.get(f"/content/{item}", headers=as_child).get_json()["content"]["content_metadata"] == shown


@one_shape
def test_odd_times_in_the_database_are_no_error(client, as_child, make_item, sql):
    item = make_item()
    for time in ("infinity", "-infinity", "0001-01-01", "9999-12-31 23:59:59.999999"):
        sql("UPDATE content_library SET created_at = %s, updated_at = %s", (time, time))
        assert (time, client.get(f"/content/{item}", headers=as_child).status_code) == (time, 200)
        assert (time, client.get("/content", headers=as_child).status_code) == (time, 200)


@one_shape
def test_the_address_of_a_file_leads_to_just_that_path(client, as_child, make_item):
    for path in ("audio/a b.mp3", "audio/a#b?c=d&e.mp3", "audio/100%.mp3", "audio/%2e%2e.mp3", "видео/ё.mp4"):
        item = make_item(file_path=path)
        content = client.get(f"/content/{item}", headers=as_child).get_json()["content"]
        assert content["file_path"] == path
        address = urlsplit(content["file_url"])
        assert (address.netloc, unquote(address.path), address.fragment) == ("", f"/content/{path}", "")
        assert content["file_url"].isascii()


def test_both_slashes_answer_the_same_without_a_redirect(client, as_child, make_item):
    item = make_item()
    plain, slashed = (client.get(f"/content/{item}{end}", headers=as_child) for end in ("", "/"))
    assert plain.status_code == slashed.status_code == 200
    assert plain.get_data() == slashed.get_data()


def test_an_id_that_nobody_has_is_not_found(client, as_parent, make_item):
    make_item()
    for item in ("0", "00", "2", "2147483647", "2147483648", "9223372036854775808", "9" * 100):
        for response in (
            client.get(f"/content/{item}", headers=as_parent),
            client.get(f"/content/{item}?active=all", headers=as_parent),
            client.patch(f"/content/{item}", json={}, headers=as_parent),
            client.delete(f"/content/{item}", headers=as_parent),
            client.delete(f"/content/{item}?purge=true", headers=as_parent),
        ):
            assert (item, response.status_code) == (item, 404)
            assert response.get_json() == {"message": "Content not found"}


@one_shape
def test_what_is_no_number_is_no_item(client, as_parent, make_item):
    make_item()
    for item in ("-1", "1.0", "1e0", "0x1", "1 ", "+1", "1;2", "9" * 5000):
        response = client.get(f"/content/{item}", headers=as_parent)
        assert (item, response.status_code) == (item, 404)
        assert list(response.get_json()) == ["message"]


def test_a_retired_item_is_seen_only_by_an_editor_who_asks(client, as_parent, as_child, make_item):
    item = make_item(active=False)
    for headers in (as_parent, as_child):
        response = client.get(f"/content/{item}", headers=headers)
        assert (response.status_code, response.get_json()) == (404, {"message": "Content not found"})
    for active in ("false", "all"):
        content = client.get(f"/content/{item}?active={active}", headers=as_parent).get_json()["content"]
        assert (content["content_id"], content["active"]) == (item, False)
        response = client.get(f"/content/{item}?active={active}", headers=as_child)
        assert (response.status_code, response.get_json()) == (403, {"message": "Parent access required"})


def test_an_active_item_is_not_among_the_retired(client, as_parent, make_item):
    for item in (make_item(active=True), make_item(active=None)):
        assert client.get(f"/content/{item}?active=false", headers=as_parent).status_code == 404
        for asked in ("true", "all"):
            content = client.get(f"/content/{item}?active={asked}", headers=as_parent).get_json()["content"]
            assert content["active"] is True


@one_shape
def test_a_parent_who_is_no_editor_may_not_ask_for_a_retired_item(make_app, database_url, redis, sql, make_item):
    item, headers = make_item(active=False), bearer(user_id=make_parent(sql), user_type="parent")
    client = make_app(database_url, CONTENT_EDITORS="somebody@example.org").test_client()
    response = client.get(f"/content/{item}?active=all", headers=headers)
    assert (response.status_code, response.get_json()) == (403, {"message": "Editor access required"})
    assert client.get(f"/content/{item}", headers=headers).status_code == 404


@one_shape
def test_nobody_gets_an_item_without_signing_in_nor_learns_whether_it_exists(client, make_item):
    for item in (make_item(), 999):
        response = client.get(f"/content/{item}")
        assert response.status_code == 401
        assert response.get_json() == {"message": "Authentication token is missing"}
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_head_has_the_headers_of_get_and_no_body(client, as_child, make_item):
    item = make_item()
    got, head = (ask(f"/content/{item}", headers=as_child) for ask in (client.get, client.head))
    assert (head.status_code, head.get_data()) == (200, b"")
    for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control", "Vary"):
        assert head.headers[name] == got.headers[name]
    missing = client.head("/content/999", headers=as_child)
    assert (missing.status_code, missing.get_data(), missing.mimetype) == (404, b"", "application/json")


def test_if_none_match_spares_the_body(client, as_child, make_item):
    item = make_item()
    first = client.get(f"/content/{item}", headers=as_child)
    etag = first.headers["ETag"]
    assert etag.startswith('"')
    for header in (etag, f"W/{etag}", f'"x", {etag}', f'{etag},"x"', "*"):
        for ask in (client.get, client.head):
            again = ask(f"/content/{item}", headers=as_child | {"If-None-Match": header})
            assert (header, again.status_code, again.get_data()) == (header, 304, b"")
            for name in ("ETag", "Cache-Control", "Vary"):
                assert again.headers[name] == first.headers[name]
    for header in ('"x"', etag.strip('"')[:-1], f'"{etag[1:10]}"', ""):
        again = client.get(f"/content/{item}", headers=as_child | {"If-None-Match": header})
        assert (header, again.status_code) == (header, 200)


def test_an_edit_changes_the_etag(client, as_parent, make_item):
    item = make_item()
    etag = client.get(f"/content/{item}", headers=as_parent).headers["ETag"]
    changed = client.patch(f"/content/{item}", json={"title": "Changed"}, headers=as_parent)
    again = client.get(f"/content/{item}", headers=as_parent | {"If-None-Match": etag})
    assert again.status_code == 200
    assert again.get_json()["content"] == changed.get_json()["content"]


def test_counting_a_view_changes_the_etag_but_fails_no_editor(client, as_parent, make_item, sql, redis):
    item = make_item()
    etag = client.get(f"/content/{item}", headers=as_parent).headers["ETag"]
    sql("UPDATE content_library SET usage_count = coalesce(usage_count, 0) + 1")
    redis.flushdb()
    again = client.get(f"/content/{item}", headers=as_parent | {"If-None-Match": etag})
    assert (again.status_code, again.get_json()["content"]["usage_count"]) == (200, 1)
    assert again.headers["ETag"] != etag
    changed = client.patch(f"/content/{item}", json={"title": "New"}, headers=as_parent | {"If-Match": etag})
    assert changed.status_code == 200


def test_an_edit_of_somebody_else_fails_an_editor_whoever_wrote_it(client, as_parent, make_item, sql):
    for assignment in (
        "title = 'Theirs'",
        "description = 'Theirs'",
        "file_path = 'theirs'",
        "skill_objectives = '[1]'",
        "prerequisite_skills = '[1]'",
        "content_metadata = '{\"a\": true}'",
        "download_priority = NULL",
        "difficulty_level = 'easy'",
        "subject_area = 'theirs'",
    ):
        item = make_item(download_priority=3, content_metadata={"a": 1})
        etag = client.get(f"/content/{item}", headers=as_parent).headers["ETag"]
        sql(f"UPDATE content_library SET {assignment} WHERE id = {item}")
        changed = client.patch(f"/content/{item}", json={"age_range": "13+"}, headers=as_parent | {"If-Match": etag})
        assert (assignment, changed.status_code) == (assignment, 412)
        assert sql(f"SELECT age_range FROM content_library WHERE id = {item}") == [{"age_range": "3-5"}]


@one_shape
def test_a_failed_if_match_on_a_get_is_an_error_like_any_other(client, as_child, make_item):
    path = f"/content/{make_item()}"
    etag = client.get(path, headers=as_child).headers["ETag"]
    response = client.get(path, headers=as_child | {"If-Match": '"other"'})
    assert response.status_code == 412
    assert response.get_json() == {"message": "Content has been changed since; fetch it again"}
    head = client.head(path, headers=as_child | {"If-Match": '"other"'})
    assert (head.status_code, head.get_data()) == (412, b"")
    for header in (etag, "*", f'"other", {etag}'):
        assert client.get(path, headers=as_child | {"If-Match": header}).status_code == 200


@one_shape
def test_an_item_is_for_its_asker_alone(client, as_child, make_item):
    headers = client.get(f"/content/{make_item()}", headers=as_child).headers
    assert "private" in headers["Cache-Control"]
    assert headers["Vary"] == "Authorization"
    assert headers["X-Content-Type-Options"] == "nosniff"


@one_shape
def test_another_word_for_active_is_refused(client, as_parent, make_item):
    response = client.get(f"/content/{make_item()}?active=yes", headers=as_parent)
    assert response.status_code == 400
    assert [problem["field"] for problem in response.get_json()["errors"]] == ["active"]


def _strictly(response):
    """The body, if it is JSON to the letter of RFC 8259, which knows no ``Infinity`` and no ``NaN``."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    text = response.get_data(as_text=True)
    return json.loads(text, parse_constant=refuse, parse_int=lambda digits: int(digits[:20]))
