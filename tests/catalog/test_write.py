"""Creating, replacing and changing items: what is taken, what is refused and how, and what then stands in the row."""

import io
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import bearer, make_parent

REQUIRED = {"content_type": "story", "subject_area": "math", "age_range": "3-5"}
FULL = {
    "content_type": "nursery_rhyme",
    "subject_area": "phonemic_awareness",
    "age_range": "6-8",
    "title": "The Itsy Bitsy Spider",
    "description": "A spider climbs.",
    "file_path": "audio/spider.mp3",
    "skill_objectives": ["rhyming"],
    "prerequisite_skills": {"week": [1, 2]},
    "content_metadata": {"week": 1, "nested": {"é": [None, 1.5, True, "x"]}},
    "download_priority": 1,
    "difficulty_level": "beginner",
    "active": False,
}
DEFAULTS = {
    "title": "",
    "description": None,
    "file_path": None,
    "skill_objectives": [],
    "prerequisite_skills": [],
    "content_metadata": {},
    "download_priority": 5,
    "difficulty_level": None,
    "active": True,
}
READ_ONLY = [
    *("content_id", "id", "file_url", "usage_count", "average_completion_time", "success_rate"),
    *("created_at", "updated_at"),
]
WRONG_VALUES = {
    "content_type": ["", "STORY", "story ", "podcast", 5, True, [], {}, ["story"]],
    "subject_area": ["", "Math", "1math", "_math", "math-x", "math\n", "máth", "math math", "a" * 51, 5, True, []],
    "age_range": ["", "3-6", "3–5", " 3-5", "ALL", 3, True, []],
    "title": ["x" * 201, "😀" * 201, 5, True, [], {}],
    "description": ["x" * 20_001, 5, True, []],
    "file_path": ["x" * 501, 5, True, ["audio/x.mp3"]],
    "skill_objectives": ["rhyming", 5, True, {"x": "y" * 262_144}, ["y" * 262_144]],
    "prerequisite_skills": ["rhyming", 5, False, ["y" * 262_144]],
    "content_metadata": [[], [1], "x", 5, True, {"x": "é" * 131_072}],
    "download_priority": [0, 11, -1, 5.0, 5.5, "5", True, [], 2**31, 2**63, 10**200],
    "difficulty_level": ["", "Easy", "hard", "easy ", 1, True, []],
    "active": ["true", "", 0, 1, [], {}],
}
GOOD_VALUES = {
    "content_type": ["activity", "nursery_rhyme", "assessment", "lesson", "story", "game"],
    "subject_area": ["a", "math2", "social_studies", "a" * 50, "a_"],
    "age_range": ["3-5", "6-8", "9-12", "13+", "all"],
    "title": ["x" * 200, "😀" * 200, "Ünïcödé 'quotes\" \\ %s {} <b>", "ﷺ", "tab\there", ""],
    "description": ["x" * 20_000, "two\nlines", "\u2028 \ufffe 😀", ""],
    "file_path": ["audio/x.mp3", "x", "audio/a b/ünï 😀.mp3", "audio/x..y", "%2e%2e/x", "a/" * 249 + "bc"],
    "skill_objectives": [[], {}, ["rhyming", 1, None], {"a": {"b": []}}, ["y" * 200_000]],
    "prerequisite_skills": [[], {}, [[[]]], {"": ""}],
    "content_metadata": [{}, {"a": None}, {"😀": "\u2028"}, {"n": -(10**4299), "m": -1.5e300, "z": 0.1}],
    "download_priority": [1, 10],
    "difficulty_level": ["beginner", "intermediate", "advanced", "easy", "standard", "challenging"],
    "active": [True, False],
}
HOSTILE_PATHS = [
    *("", " ", "/", ".", "..", "...", "/etc/passwd", "//etc/passwd", "../secret", "audio/../../secret", "audio/.."),
    *("./x", "audio/./x", "audio//x", "audio/", " audio/x", "audio/x ", "audio/ /x", "audio/x\n", "\taudio/x"),
    *("audio\\x", "audio\\..\\x", "..\\x", "C:\\x", "C:/x", "\\\\host\\x", "audio/x:stream", "audio/nul.mp3"),
    *("audio/.hidden", ".git/config", "audio/x\u0007", "audio/\u0085x", "audio/\u007f", "a" * 256, "é" * 128, "\u00a0"),
]
NOT_JSON = {
    "nothing": b"",
    "space": b"  \n",
    "half an object": b'{"content_type": "story"',
    "single quotes": b"{'content_type': 'story'}",
    "a comma too many": b'{"content_type": "story",}',
    "two objects": b"{} {}",
    "a comment": b"{} // x",
    "a list": b"[]",
    "a list of objects": b'[{"content_type": "story"}]',
    "text": b'"story"',
    "a number": b"5",
    "null": b"null",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "Latin-1": '{"title": "é"}'.encode("latin-1"),
    "overlong UTF-8": b'{"title": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"title": "\xed\xa0\x80"}',
    "half a surrogate pair": rb'{"title": "\ud800"}',
    "half a surrogate pair deep down": rb'{"content_metadata": {"a": ["\udfff"]}}',
    "NUL": rb'{"title": "a\u0000b"}',
    "NUL in a name": rb'{"content_metadata": {"\u0000": 1}}',
    "a raw NUL": b'{"title": "a\0b"}',
    "a raw line break": b'{"title": "a\nb"}',
    "NaN": b'{"download_priority": NaN}',
    "infinity": b'{"content_metadata": {"n": Infinity}}',
    "beyond a double": b'{"content_metadata": {"n": 1e999}}',
    "below a double": b'{"content_metadata": {"n": [-1e999]}}',
    "an integer of 5000 digits": b'{"content_metadata": {"n": %s}}' % (b"9" * 5000),
    "5000 lists": b'{"skill_objectives": %s%s}' % (b"[" * 5000, b"]" * 5000),
    "201 lists": b'{"skill_objectives": %s%s}' % (b"[" * 201, b"]" * 201),
    "a form": b"content_type=story&subject_area=math&age_range=3-5",
    "5 MB of brackets": b"[" * 5_000_000,
    "8 MiB of text": b"x" * (8 * 1024 * 1024),
}
one_shape = pytest.mark.parametrize("shape", ["backend"])


def test_creating_answers_in_the_contracts_words(client, as_parent, sql):
    response = client.post("/content", json=REQUIRED, headers=as_parent)
    assert response.status_code == 201
    body = response.get_json()
    content = client.get("/content/1", headers=as_parent).get_json()["content"]
    assert body == {
        "message": "Content created successfully",
        "content_id": 1,
        "content_type": "story",
        "subject_area": "math",
        "content": content,
    }
    assert response.headers["Location"] == "/content/1"
    assert _row(sql) == REQUIRED | DEFAULTS | {"usage_count": 0, "average_completion_time": None, "success_rate": None}


def test_an_item_is_created_with_all_that_was_sent(client, as_parent, sql):
    content = client.post("/content/", json=FULL, headers=as_parent).get_json()["content"]
    assert {name: content[name] for name in FULL} == FULL
    assert _row(sql, FULL) == FULL
    assert client.get("/content/1?active=all", headers=as_parent).get_json()["content"] == content


def test_a_new_item_is_dated_now_in_utc(client, as_parent, sql):
    content = client.post("/content", json=REQUIRED, headers=as_parent).get_json()["content"]
    assert content["created_at"] == content["updated_at"]
    created = datetime.fromisoformat(content["created_at"])
    assert created.tzinfo is None
    assert abs(created.replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(seconds=30)


def test_null_is_the_default_except_where_a_value_is_required(client, as_parent, sql):
    nulls = dict.fromkeys(set(DEFAULTS) - {"active"})
    assert client.post("/content", json=REQUIRED | nulls, headers=as_parent).status_code == 201
    assert _row(sql, DEFAULTS) == DEFAULTS | {"download_priority": None}


def test_a_title_is_stored_without_the_space_around_it(client, as_parent, sql):
    for sent, stored in {"  The Spider \n": "The Spider", "   ": "", " " * 10 + "x" * 200: "x" * 200}.items():
        response = client.post("/content", json=REQUIRED | {"title": sent}, headers=as_parent)
        assert response.status_code == 201
        assert _row(sql, ["title"], response.get_json()["content_id"]) == {"title": stored}


@one_shape
def test_missing_fields_are_named_in_order(client, as_parent, make_item, sql):
    make_item(title="Before")
    for body, missing in (
        ({}, "content_type, subject_area, age_range"),
        ({"title": "x"}, "content_type, subject_area, age_range"),
        ({"age_range": "3-5"}, "content_type, subject_area"),
        ({"subject_area": "math", "age_range": "3-5"}, "content_type"),
        ({"content_type": "story", "age_range": "3-5"}, "subject_area"),
        ({"content_type": "story", "subject_area": "math"}, "age_range"),
        (REQUIRED | {"content_type": None, "age_range": None}, "content_type, age_range"),
    ):
        for send, path in ((client.post, "/content"), (client.put, "/content/1")):
            response = send(path, json=body, headers=as_parent)
            assert response.status_code == 400
            assert response.get_json() == {"message": f"Missing required fields: {missing}"}
    assert sql("SELECT title FROM content_library") == [{"title": "Before"}]


@one_shape
def test_unexpected_fields_are_named_in_order(client, as_parent, make_item, sql):
    make_item(title="Before")
    for names in (["x", "y"], ["y", "x"], ["Title"], [""], ["title "], ["é"], *([name] for name in READ_ONLY)):
        for send, path in _WRITES:
            raw = json.dumps(REQUIRED | dict.fromkeys(names, 1))
            response = send(client, path, data=raw, content_type="application/json", headers=as_parent)
            assert response.status_code == 400
            assert response.get_json() == {"message": f"Unexpected fields: {', '.join(names)}"}
    assert sql("SELECT title FROM content_library") == [{"title": "Before"}]


@one_shape
def test_thousands_of_unexpected_fields_make_a_short_answer(client, as_parent):
    fields = {f"{n}{'x' * 100}": 1 for n in range(10_000)}
    response = client.post("/content", json=REQUIRED | fields, headers=as_parent)
    assert response.status_code == 400
    assert response.get_json()["message"].startswith("Unexpected fields: 0xxx")
    assert len(response.get_data()) < 2000


@one_shape
def test_a_wrong_value_is_refused_by_name_and_nothing_is_written(client, as_parent, make_item, sql):
    make_item(**FULL)
    for field, value in [(field, value) for field, values in WRONG_VALUES.items() for value in values]:
        for send, path in _WRITES:
            response = send(client, path, json=REQUIRED | {"title": "Written"} | {field: value}, headers=as_parent)
            body = response.get_json()
            assert (field, str(value)[:50], response.status_code) == (field, str(value)[:50], 400)
            assert {problem["field"] for problem in body["errors"]} == {field}
            assert body["message"].startswith(f"{field} ")
            assert len(response.get_data()) < 2000
    assert _row(sql, FULL) == FULL
    assert sql("SELECT count(*) FROM content_library") == [{"count": 1}]


@one_shape
def test_every_wrong_field_is_told_at_once(client, as_parent):
    wrong = {name: values[-1] for name, values in WRONG_VALUES.items() if "skill" not in name}
    body = client.post("/content", json=wrong, headers=as_parent).get_json()
    assert {problem["field"] for problem in body["errors"]} == set(wrong)
    for name in wrong:
        assert f"{name} " in body["message"]


@one_shape
def test_the_allowed_values_are_told(client, as_parent):
    message = client.post("/content", json=REQUIRED | {"age_range": "0-2"}, headers=as_parent).get_json()["message"]
    assert message == "age_range must be one of 3-5, 6-8, 9-12, 13+, all"


@one_shape
def test_a_good_value_is_stored_and_answered_as_it_was_sent(client, as_parent, make_item, sql):
    make_item()
    for field, value in [(field, value) for field, values in GOOD_VALUES.items() for value in values]:
        for send, path in _WRITES:
            response = send(client, path, json=REQUIRED | {"title": "T"} | {field: value}, headers=as_parent)
            assert response.status_code in (200, 201), (field, value, response.get_json())
            content = response.get_json()["content"]
            assert content[field] == value or (field, value) == ("title", "")
        assert _row(sql, [field]) == {field: value}


@one_shape
def test_the_lists_of_allowed_values_are_settings(make_app, database_url, redis, as_parent):
    lists = {"CONTENT_TYPES": "podcast,song", "AGE_RANGES": "0-99", "DIFFICULTY_LEVELS": "brutal"}
    client = make_app(database_url, **lists).test_client()
    item = {"content_type": "podcast", "subject_area": "math", "age_range": "0-99", "difficulty_level": "brutal"}
    assert client.post("/content", json=item, headers=as_parent).status_code == 201
    response = client.post("/content", json=item | {"content_type": "story"}, headers=as_parent)
    assert response.get_json()["message"] == "content_type must be one of podcast, song"


@one_shape
def test_a_path_that_leaves_the_content_folder_is_refused_in_any_spelling(client, as_parent, make_item, sql):
    make_item(file_path="audio/before.mp3")
    for hostile in HOSTILE_PATHS:
        for send, path in _WRITES:
            response = send(client, path, json=REQUIRED | {"file_path": hostile}, headers=as_parent)
            assert (hostile, response.status_code) == (hostile, 400)
            assert [problem["field"] for problem in response.get_json()["errors"]] == ["file_path"]
    assert sql("SELECT file_path FROM content_library") == [{"file_path": "audio/before.mp3"}]


@one_shape
def test_a_body_that_is_no_json_object_we_take_is_refused(client, as_parent, make_item, sql):
    make_item(title="Before")
    for name, raw in NOT_JSON.items():
        for send, path in _WRITES:
            started = time.perf_counter()
            response = send(client, path, data=raw, content_type="application/json", headers=as_parent)
            assert (name, response.status_code) == (name, 400)
            assert response.get_json()["message"] == "Invalid JSON data"
            assert len(response.get_data()) < 1000
            assert time.perf_counter() - started < 2
    assert sql("SELECT title FROM content_library") == [{"title": "Before"}]


@one_shape
def test_only_json_is_taken_whatever_the_body(client, as_parent, make_item, sql):
    make_item(title="Before")
    raw = json.dumps(REQUIRED)
    for kind in (None, "", "text/plain", "text/json", "application/jsonp", "application/x-www-form-urlencoded", "json"):
        for send, path in _WRITES:
            response = send(client, path, data=raw, content_type=kind, headers=as_parent)
            assert (kind, response.status_code) == (kind, 400)
            assert response.get_json() == {"message": "Request must be JSON"}
    form = client.post("/content", data=REQUIRED, headers=as_parent)
    assert form.get_json() == {"message": "Request must be JSON"}
    assert sql("SELECT title FROM content_library") == [{"title": "Before"}]


@one_shape
def test_json_is_taken_under_each_of_its_names(client, as_parent, sql):
    raw = json.dumps(REQUIRED | {"title": "Ёж"}, ensure_ascii=False).encode()
    for kind in ("json", "JSON", "json; charset=utf-8", "json;x=y", "problem+json"):
        response = client.post("/content", data=raw, content_type=f"application/{kind}", headers=as_parent)
        assert (kind, response.status_code) == (kind, 201)
        assert _row(sql, ["title"], response.get_json()["content_id"]) == {"title": "Ёж"}


@one_shape
def test_the_last_of_two_equal_names_counts(client, as_parent, sql):
    raw = json.dumps(REQUIRED)[:-1] + ', "title": "first", "title": "last"}'
    assert client.post("/content", data=raw, content_type="application/json", headers=as_parent).status_code == 201
    assert _row(sql, ["title"]) == {"title": "last"}


@one_shape
def test_five_megabytes_in_one_field_are_refused_shortly(client, as_parent, sql):
    much = "x" * 5_000_000
    for field, value in {
        "title": much,
        "description": much,
        "file_path": much,
        "subject_area": "a" * 5_000_000,
        "content_metadata": {"x": much},
        "skill_objectives": ["x"] * 1_200_000,
    }.items():
        response = client.post("/content", json=REQUIRED | {field: value}, headers=as_parent)
        assert (field, response.status_code) == (field, 400)
        assert [problem["field"] for problem in response.get_json()["errors"]] == [field]
        assert len(response.get_data()) < 1000
    assert sql("SELECT count(*) FROM content_library") == [{"count": 0}]


@one_shape
def test_more_than_eight_mebibytes_are_too_large(client, as_parent, make_item, sql):
    make_item(title="Before")
    for send, path in _WRITES:
        raw = json.dumps(REQUIRED | {"description": "x" * 8 * 1024 * 1024})
        response = send(client, path, data=raw, content_type="application/json", headers=as_parent)
        assert response.status_code == 413
        assert response.get_json() == {"message": "Request body too large"}
    assert sql("SELECT title FROM content_library") == [{"title": "Before"}]


@one_shape
def test_eight_mebibytes_of_unknown_length_are_too_large_as_well(client, as_parent):
    response = client.post(
        "/content",
        input_stream=io.BytesIO(b"x" * 9 * 1024 * 1024),
        content_type="application/json",
        headers=as_parent,
        environ_overrides={"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
    )
    assert (response.status_code, response.get_json()) == (413, {"message": "Request body too large"})


def test_replacing_sets_what_is_not_named_to_its_default(client, as_parent, make_item, sql):
    make_item(**FULL, usage_count=42, success_rate=91, average_completion_time=180, created_at=datetime(2026, 1, 5, 10))
    response = client.put("/content/1", json=REQUIRED, headers=as_parent)
    assert response.status_code == 200
    assert response.get_json() == {
        "message": "Content updated successfully",
        "content": client.get("/content/1", headers=as_parent).get_json()["content"],
    }
    kept = {"usage_count": 42, "success_rate": 91, "average_completion_time": 180}
    assert _row(sql) == REQUIRED | DEFAULTS | kept
    assert response.get_json()["content"]["created_at"] == "2026-01-05T10:00:00"


def test_replacing_takes_every_field(client, as_parent, make_item, sql):
    make_item()
    assert client.put("/content/1/", json=FULL, headers=as_parent).status_code == 200
    assert _row(sql, FULL) == FULL


def test_changing_one_field_leaves_the_others(client, as_parent, make_item, sql):
    for item, field in enumerate(FULL, start=1):
        make_item(**REQUIRED | DEFAULTS, usage_count=42, success_rate=91, created_at=datetime(2026, 1, 5, 10))
        before = _row(sql, item=item)
        response = client.patch(f"/content/{item}", json={field: FULL[field]}, headers=as_parent)
        assert response.status_code == 200
        assert response.get_json() == {
            "message": "Content updated successfully",
            "content": client.get(f"/content/{item}?active=all", headers=as_parent).get_json()["content"],
        }
        assert _row(sql, item=item) == before | {field: FULL[field]}


def test_an_optional_field_can_be_emptied(client, as_parent, make_item, sql):
    make_item(**FULL)
    nulls = dict.fromkeys(set(DEFAULTS) - {"active"})
    assert client.patch("/content/1", json=nulls, headers=as_parent).status_code == 200
    assert _row(sql, DEFAULTS) == DEFAULTS | {"download_priority": None, "active": False}


@one_shape
def test_a_required_field_cannot_be_emptied(client, as_parent, make_item, sql):
    make_item(**FULL)
    for field in (*REQUIRED, "active"):
        response = client.patch("/content/1", json={field: None}, headers=as_parent)
        assert (field, response.status_code) == (field, 400)
        assert field in response.get_json()["message"]
    assert _row(sql, FULL) == FULL


def test_a_change_is_dated_and_a_change_of_nothing_is_not(client, as_parent, make_item, sql):
    make_item(title="Same", created_at=datetime(2026, 1, 5), updated_at=datetime(2026, 1, 5))
    for body in ({}, {"title": "Same"}):
        content = client.patch("/content/1", json=body, headers=as_parent).get_json()["content"]
        assert content["updated_at"] == "2026-01-05T00:00:00"
    content = client.patch("/content/1", json={"title": "Other"}, headers=as_parent).get_json()["content"]
    updated = datetime.fromisoformat(content["updated_at"]).replace(tzinfo=UTC)
    assert abs(updated - datetime.now(UTC)) < timedelta(seconds=30)
    assert content["created_at"] == "2026-01-05T00:00:00"


def test_json_values_that_python_takes_for_equal_are_written(client, as_parent, make_item, sql):
    make_item(content_metadata={"a": 1})
    for after in ({"a": True}, {"a": 1.0}, {"a": [True]}, {"a": [1]}, {"a": [1.0]}):
        response = client.patch("/content/1", json={"content_metadata": after}, headers=as_parent)
        assert json.dumps(response.get_json()["content"]["content_metadata"]) == json.dumps(after)
        stored = sql("SELECT content_metadata::text AS stored FROM content_library")[0]["stored"]
        assert json.dumps(json.loads(stored)) == json.dumps(after)


def test_a_row_with_values_that_nobody_may_write_can_be_changed(client, as_parent, make_item, sql):
    odd = {"content_type": "Podcast!", "subject_area": "Maths & Co", "age_range": "0-99", "difficulty_level": "?"}
    odd |= {"download_priority": 99, "file_path": "../odd/path", "title": "", "active": None}
    make_item(**odd)
    assert client.patch("/content/1", json={"description": "New"}, headers=as_parent).status_code == 200
    assert _row(sql, odd) == odd
    assert client.put("/content/1", json=REQUIRED, headers=as_parent).status_code == 200
    assert _row(sql, odd) == {name: (REQUIRED | DEFAULTS)[name] for name in odd}


def test_a_retired_item_can_be_changed_and_brought_back(client, as_parent, make_item):
    make_item(active=False)
    content = client.patch("/content/1", json={"title": "New"}, headers=as_parent).get_json()["content"]
    assert content["active"] is False
    content = client.patch("/content/1", json={"active": True}, headers=as_parent).get_json()["content"]
    assert content["active"] is True
    assert client.get("/content/1", headers=as_parent).get_json()["content"] == content


def test_what_is_written_is_seen_at_once_everywhere(client, as_parent, as_child):
    client.get("/content", headers=as_child)
    client.get("/content/subjects", headers=as_child)
    client.post("/content", json=REQUIRED, headers=as_parent)
    assert client.get("/content", headers=as_child).get_json()["pagination"]["total"] == 1
    assert client.get("/content/1", headers=as_child).status_code == 200
    client.patch("/content/1", json={"title": "Changed", "subject_area": "science"}, headers=as_parent)
    assert client.get("/content/1", headers=as_child).get_json()["content"]["title"] == "Changed"
    assert client.get("/content", headers=as_child).get_json()["content"][0]["title"] == "Changed"
    assert client.get("/content/subjects", headers=as_child).get_json()["subjects"] == ["science"]


@one_shape
def test_if_match_lets_only_the_current_revision_through(client, as_parent, make_item, sql):
    make_item(title="Before")
    etag = client.get("/content/1", headers=as_parent).headers["ETag"]
    other = f'"{"0" * 18}.{"0" * 18}"'
    never = (
        '"x"',
        other,
        f"W/{other}",
        f'"x", {other}',
        '""',
        'W/""',
        "",
        '"*"',
        "x",
        ",",
        f'"{etag[2:]}',
        f"x{etag[1:-1]}",
    )
    for header in never:
        for send, path, arguments in (
            (client.put, "/content/1", {"json": REQUIRED | {"title": "Written"}}),
            (client.patch, "/content/1", {"json": {"title": "Written"}}),
            (client.delete, "/content/1", {}),
            (client.delete, "/content/1?purge=true", {}),
        ):
            response = send(path, headers=as_parent | {"If-Match": header}, **arguments)
            assert (header, response.status_code) == (header, 412)
            assert response.get_json() == {"message": "Content has been changed since; fetch it again"}
    assert sql("SELECT title, active FROM content_library") == [{"title": "Before", "active": None}]


@one_shape
def test_if_match_with_the_current_revision_is_no_hindrance(client, as_parent, make_item):
    for header in ("{etag}", "*", '"x", {etag}', '{etag} , "x"', "W/{etag}", '"x", W/{etag}'):
        item = make_item()
        for send, query, arguments in (
            (client.put, "", {"json": REQUIRED | {"title": "Put"}}),
            (client.patch, "", {"json": {"title": "Patched"}}),
            (client.delete, "", {}),
            (client.delete, "?purge=true", {}),
        ):
            etag = client.get(f"/content/{item}?active=all", headers=as_parent).headers["ETag"]
            known = as_parent | {"If-Match": header.format(etag=etag)}
            response = send(f"/content/{item}{query}", headers=known, **arguments)
            assert (header, response.status_code) == (header, 200)


def test_each_answer_to_a_write_has_the_etag_for_the_next(client, as_parent):
    etag = client.post("/content", json=REQUIRED, headers=as_parent).headers["ETag"]
    for title in ("One", "Two"):
        response = client.patch("/content/1", json={"title": title}, headers=as_parent | {"If-Match": etag})
        assert response.status_code == 200
        stale, etag = etag, response.headers["ETag"]
    response = client.put("/content/1", json=REQUIRED, headers=as_parent | {"If-Match": etag})
    assert response.status_code == 200
    for old in (stale, etag):
        assert client.patch("/content/1", json={}, headers=as_parent | {"If-Match": old}).status_code == 412


@one_shape
def test_if_match_on_an_item_that_is_not_there_is_404(client, as_parent):
    for header in ("*", '"x"'):
        response = client.patch("/content/1", json={}, headers=as_parent | {"If-Match": header})
        assert (response.status_code, response.get_json()) == (404, {"message": "Content not found"})


@one_shape
@pytest.mark.parametrize("editors", ["", "{id}", "Editor@Example.org"], ids=["any parent", "by id", "by e-mail"])
def test_only_editors_write(make_app, database_url, redis, sql, make_item, child, editors):
    editor, other = make_parent(sql, "editor@example.org"), make_parent(sql)
    client = make_app(database_url, CONTENT_EDITORS=editors.format(id=editor)).test_client()
    refusals = {
        None: (401, "Authentication token is missing"),
        ("child", child): (403, "Parent access required"),
        ("parent", other): (403, "Editor access required") if editors else None,
        ("parent", editor): None,
    }
    for who, refusal in refusals.items():
        item = make_item(title="Before")
        headers = {} if who is None else bearer(user_type=who[0], user_id=who[1])
        for method, path, body in (
            ("POST", "/content", REQUIRED),
            ("PUT", f"/content/{item}", REQUIRED),
            ("PATCH", f"/content/{item}", {"title": "Written"}),
            ("DELETE", f"/content/{item}", None),
            ("DELETE", f"/content/{item}?purge=true", None),
        ):
            response = client.open(path, method=method, json=body, headers=headers)
            if refusal:
                assert (response.status_code, response.get_json()) == (refusal[0], {"message": refusal[1]})
            else:
                assert response.status_code in (200, 201)
        left = sql(f"SELECT title, active FROM content_library WHERE id = {item}")
        assert left == ([{"title": "Before", "active": None}] if refusal else [])


@one_shape
def test_whoever_may_not_write_learns_nothing_of_the_body_or_the_item(client, as_child):
    for path in ("/content/1", "/content/999"):
        response = client.put(path, data=b"no json", content_type="text/plain", headers=as_child)
        assert (response.status_code, response.get_json()) == (403, {"message": "Parent access required"})


def _row(sql, columns=(*REQUIRED, *DEFAULTS, "usage_count", "average_completion_time", "success_rate"), item=1):
    """What the database holds of an item."""
    return sql(f"SELECT {', '.join(columns)} FROM content_library WHERE id = %s", (item,))[0]


_WRITES = [
    (lambda client, path, **arguments: client.post(path, **arguments), "/content"),
    (lambda client, path, **arguments: client.put(path, **arguments), "/content/1"),
    (lambda client, path, **arguments: client.patch(path, **arguments), "/content/1"),
]
