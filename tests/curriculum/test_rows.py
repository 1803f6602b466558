"""One row: made, read, replaced, changed and deleted, alike for all three resources."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime

import psycopg2
import pytest

from library_server.curriculum.services import curriculum_changed
from library_server.lib.clock import utc_now
from tests.conftest import bearer, make_parent
from tests.curriculum.conftest import KINDS, LESSON, RHYME, UNIT, every_kind, one_shape

CHANGED = {"message": "Content has been changed since; fetch it again"}
JSON_COLUMNS = [
    (kind, name)
    for kind in KINDS
    for name in kind.whole
    if isinstance(kind.whole[name], list | dict)
]  # fmt: skip
TEXTS = [(LESSON, "skill_focus", 100), (LESSON, "activity_type", 50), (LESSON, "difficulty_progression", 20),
         (RHYME, "rhyme_name", 100), (RHYME, "age_appropriate", 20), (UNIT, "subject", 50), (UNIT, "grade_level", 20),
         (UNIT, "unit_title", 200), (UNIT, "difficulty_progression", 20)]  # fmt: skip
NUMBERS = [(LESSON, "lesson_number"), (UNIT, "lesson_sequence"), (UNIT, "estimated_duration")]


@every_kind
def test_what_an_editor_makes_is_answered_stored_and_read(kind, client, as_parent, get, sql):
    response = client.post(kind.path, json=kind.whole, headers=as_parent)
    body = response.get_json()
    assert (response.status_code, response.headers["Location"]) == (201, f"{kind.path}/1")
    assert list(body) == ["message", "id", kind.one] and body["message"] == f"{kind.noun} created successfully"
    row = body[kind.one]
    [stored] = sql(f"SELECT * FROM {kind.table}")
    audio = {"audio_url"} & set(row)
    assert set(row) == set(stored) | audio | set(kind.also)
    assert {name: row[name] for name in kind.whole} == kind.whole == {name: stored[name] for name in kind.whole}
    assert row | kind.also == row
    assert body["id"] == row["id"] == stored["id"] == 1
    assert row["created_at"] == row["updated_at"] == stored["created_at"].isoformat()
    assert abs(datetime.fromisoformat(row["created_at"]) - utc_now()).total_seconds() < 60
    assert get(f"{kind.path}/1") == {kind.one: row}
    assert get(f"{kind.path}/1/") == {kind.one: row}
    assert get(f"{kind.path}/")[kind.many] == [row]


@one_shape
@every_kind
def test_what_is_not_named_is_null(kind, client, as_parent):
    row = client.post(kind.path, json=kind.least, headers=as_parent).get_json()[kind.one]
    rest = set(row) - set(kind.required) - {"id", "created_at", "updated_at"}
    assert {name: row[name] for name in rest} == dict.fromkeys(rest)


@pytest.mark.parametrize("kind", [LESSON, RHYME], ids=lambda kind: kind.many)
def test_a_recording_comes_with_a_signed_link_that_opens_it(kind, make_app, database_url, redis, as_parent, tmp_path):
    client = make_app(database_url, CONTENT_STORAGE_PATH=str(tmp_path)).test_client()
    path = tmp_path / kind.whole["audio_file_path"]
    path.parent.mkdir()
    path.write_bytes(b"sound")
    url = client.post(kind.path, json=kind.whole, headers=as_parent).get_json()[kind.one]["audio_url"]
    assert "signature=" in url
    with client.get(url) as answer:
        assert (answer.status_code, answer.get_data()) == (200, b"sound")
    client.delete(f"{kind.path}/1", headers=as_parent)
    assert path.exists()


@every_kind
def test_put_replaces_and_patch_changes(kind, client, as_parent, create, get, sql):
    create(kind, **kind.whole)
    sql(f"UPDATE {kind.table} SET created_at = '2026-01-05', updated_at = '2026-01-05'")
    name = kind.required[-1]
    new = 9 if isinstance(kind.whole[name], int) else "new"
    response = client.patch(f"{kind.path}/1", json={name: new}, headers=as_parent)
    assert (response.status_code, response.get_json()["message"]) == (200, f"{kind.noun} updated successfully")
    row = response.get_json()[kind.one]
    assert {column: row[column] for column in kind.whole} == kind.whole | {name: new}
    assert row["created_at"] == "2026-01-05T00:00:00" < row["updated_at"]
    assert get(f"{kind.path}/1") == {kind.one: row}

    response = client.put(f"{kind.path}/1", json=kind.least, headers=as_parent)
    assert (response.status_code, response.get_json()["message"]) == (200, f"{kind.noun} updated successfully")
    row = response.get_json()[kind.one]
    assert {column: row[column] for column in kind.whole} == dict.fromkeys(kind.whole) | kind.least
    assert (row["id"], row["created_at"]) == (1, "2026-01-05T00:00:00")


@every_kind
def test_delete_is_for_good(kind, client, as_parent, create, sql):
    create(kind), create(kind)
    response = client.delete(f"{kind.path}/1", headers=as_parent)
    assert (response.status_code, response.get_json()) == (
        200, {"message": f"{kind.noun} deleted successfully", "id": 1},
    )  # fmt: skip
    assert [row["id"] for row in sql(f"SELECT id FROM {kind.table}")] == [2]
    for method, body in (("GET", None), ("PUT", kind.least), ("PATCH", {}), ("DELETE", None)):
        for missing in (1, 0, 2**31, 10**30):
            response = client.open(f"{kind.path}/{missing}", method=method, json=body, headers=as_parent)
            assert (method, missing, response.status_code) == (method, missing, 404)
            assert response.get_json() == {"message": f"{kind.noun} not found"}


@one_shape
@every_kind
def test_two_editors_at_one_row_are_told(kind, client, as_parent, create):
    create(kind, **kind.whole)
    path, name = f"{kind.path}/1", kind.required[0]
    first = client.get(path, headers=as_parent).headers["ETag"]
    changed = {name: 8 if isinstance(kind.whole[name], int) else "changed"}
    response = client.patch(path, json=changed, headers=as_parent | {"If-Match": first})
    assert response.status_code == 200
    stale = as_parent | {"If-Match": first}
    for answer in (client.patch(path, json=changed, headers=stale), client.put(path, json=kind.least, headers=stale),
                   client.delete(path, headers=stale), client.get(path, headers=stale)):  # fmt: skip
        assert (answer.status_code, answer.get_json()) == (412, CHANGED)
    now = client.get(path, headers=as_parent).headers["ETag"]
    known = client.get(path, headers=as_parent | {"If-None-Match": now})
    assert (known.status_code, known.get_data()) == (304, b"")
    assert client.delete(path, headers=as_parent | {"If-Match": f'"x", {now}'}).status_code == 200


@one_shape
@every_kind
def test_who_waited_for_another_editor_is_told_too(kind, app, client, as_parent, create, database_url):
    create(kind)
    path, name = f"{kind.path}/1", kind.required[0]
    known = as_parent | {"If-Match": client.get(path, headers=as_parent).headers["ETag"]}
    requests = [("PATCH", {}), ("PUT", kind.least), ("DELETE", None)]
    with ThreadPoolExecutor() as pool, closing(psycopg2.connect(database_url)) as other:
        other.cursor().execute(f"UPDATE {kind.table} SET {name} = '9'")
        waiting = [
            pool.submit(app.test_client().open, path, method=method, json=body, headers=known)
            for method, body in requests
        ]
        time.sleep(0.5)
        assert not any(answer.done() for answer in waiting)
        other.commit()
        assert [answer.result(30).status_code for answer in waiting] == [412] * 3


@one_shape
@every_kind
def test_caches_hear_of_every_change_after_its_commit(kind, client, as_parent, create, sql):
    heard = []

    def note(sender, name, row_id):
        heard.append((name, row_id, len(sql(f"SELECT id FROM {kind.table}"))))

    with curriculum_changed.connected_to(note):
        create(kind)
        client.patch(f"{kind.path}/1", json=kind.least, headers=as_parent)
        client.put(f"{kind.path}/1", json=kind.least, headers=as_parent)
        client.patch(f"{kind.path}/9", json={}, headers=as_parent)
        client.post(kind.path, json={}, headers=as_parent)
        client.delete(f"{kind.path}/1", headers=as_parent)
    name = kind.path.rpartition("/")[2]
    assert heard == [(name, 1, 1), (name, 1, 1), (name, 1, 1), (name, 1, 0)]


@one_shape
@every_kind
def test_bodies_are_refused_in_the_contracts_words(kind, client, as_parent, create, sql):
    create(kind)
    before = sql(f"SELECT * FROM {kind.table}")
    missing = f"Missing required fields: {', '.join(kind.required)}"
    own = ("audio_url", "colour", "created_at", "id", "next", "updated_at")
    for method, path in (("POST", kind.path), ("PUT", f"{kind.path}/1"), ("PATCH", f"{kind.path}/1")):

        def send(method=method, path=path, **body):
            response = client.open(path, method=method, headers=as_parent, **body)
            assert response.status_code == 400, response.get_json()
            return response.get_json()["message"]

        assert send(data="text") == "Request must be JSON"
        assert send(data="{", content_type="application/json") == "Invalid JSON data"
        assert send(json=[kind.least]) == "Invalid JSON data"
        assert send(data=b'{"a": "\\u0000"}', content_type="application/json") == "Invalid JSON data"
        assert send(data=b'{"a": "\\ud800"}', content_type="application/json") == "Invalid JSON data"
        assert send(json=kind.least | dict.fromkeys(own, 1)) == f"Unexpected fields: {', '.join(own)}"
        if method != "PATCH":
            assert send(json={}) == send(json=dict.fromkeys(kind.required)) == missing
        else:
            assert send(json={kind.required[0]: None}).startswith(f"{kind.required[0]} should be")
    assert sql(f"SELECT * FROM {kind.table}") == before


@one_shape
def test_text_is_as_long_as_its_column(client, as_parent, create):
    for kind, name, longest in TEXTS:
        create(kind, **{name: "é" * longest})
        wrong = ["é" * (longest + 1), "x" * 10_000, " ", "", 5, ["x"], True]
        _refuses(client, as_parent, kind, name, wrong)


@one_shape
def test_numbers_are_whole_and_fit_their_column(client, as_parent, create):
    for kind, name in NUMBERS:
        create(kind, **{name: 2**31 - 1}), create(kind, **{name: 0})
        _refuses(client, as_parent, kind, name, [2**31, -1, 10**30, 1.5, 1e308, "1", True, [1]])


@one_shape
def test_json_columns_are_lists_or_objects(client, as_parent, create, get):
    for kind, name in JSON_COLUMNS:
        for value in ([], {}, [1, [{"ä": None}]], {"a": {"b": [0.1, True]}}):
            assert get(f"{kind.path}/{create(kind, **{name: value})}")[kind.one][name] == value
        _refuses(client, as_parent, kind, name, ["text", 5, True, ["x" * 262_144]])


@one_shape
def test_a_recording_lies_in_the_content_folder(client, as_parent):
    outside = ["../x.mp3", "/etc/passwd", "a\\b.mp3", "a//b.mp3", "audio/", ".hidden", "a:b", "", "x" * 501, "a/\n", 5]
    for kind in (LESSON, RHYME):
        _refuses(client, as_parent, kind, "audio_file_path", outside)


@one_shape
@every_kind
def test_who_may_do_what(kind, make_app, database_url, redis, sql, as_child, create):
    create(kind)
    editor, other = (bearer(user_id=make_parent(sql), user_type="parent") for _ in range(2))
    client = make_app(database_url, CONTENT_EDITORS="2").test_client()
    for path in (kind.path, f"{kind.path}/1"):
        assert [client.get(path, headers=who).status_code for who in ({}, as_child, other, editor)] == [
            401, 200, 200, 200,
        ]  # fmt: skip
    for method, path in (("POST", ""), ("PUT", "/1"), ("PATCH", "/1"), ("DELETE", "/1")):
        answers = [
            client.open(f"{kind.path}{path}{slash}", method=method, json=kind.least, headers=who)
            for who in ({}, as_child, other, editor)
            for slash in (("", "/") if who != editor else ("",))
        ]
        assert [answer.status_code for answer in answers] == [401, 401, 403, 403, 403, 403, 201 if not path else 200]
        assert answers[2].get_json() == {"message": "Parent access required"}
        assert answers[4].get_json() == {"message": "Editor access required"}


@one_shape
@every_kind
def test_whatever_others_have_stored_is_shown(kind, get, sql):
    """JSON columns and paths as the backend may have left them."""
    names = ", ".join(kind.required)
    json_columns = [name for other, name in JSON_COLUMNS if other is kind]
    for stored in ("null", "5", '"text"', r'["\u0000", "\ud800"]', "[" * 3000 + "]" * 3000, "[1e999]"):
        sql(f"INSERT INTO {kind.table} ({names}) VALUES ({', '.join('%s' for _ in kind.required)})",
            tuple(kind.least.values()))  # fmt: skip
        sql(f"UPDATE {kind.table} SET {', '.join(f'{name} = %s' for name in json_columns)} WHERE {json_columns[0]} "
            "IS NULL", (stored,) * len(json_columns))  # fmt: skip
    if "audio_file_path" in kind.whole:
        sql(f"UPDATE {kind.table} SET audio_file_path = CASE id WHEN 1 THEN '' ELSE '../é?#' END")
    rows = get(kind.path)[kind.many]
    assert len(rows) == 6
    assert [get(f"{kind.path}/{row['id']}")[kind.one] for row in rows] == rows
    assert rows[0]["updated_at"] is None


def _refuses(client, headers, kind, name, values):
    for value in values:
        for method, path in (("POST", kind.path), ("PATCH", f"{kind.path}/1")):
            response = client.open(path, method=method, json=kind.least | {name: value}, headers=headers)
            assert (name, value, response.status_code) == (name, value, 400)
            assert {problem["field"] for problem in response.get_json()["errors"]} == {name}
