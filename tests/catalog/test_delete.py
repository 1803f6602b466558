"""Retiring and purging: what goes, what stays, and what forbids it."""

import psycopg2
import pytest
from sqlalchemy import event

from library_server.catalog.services import IMPORT_LOCK
from library_server.extensions import db
from tests.conftest import make_child

RETIRED = {"message": "Content retired successfully"}
DELETED = {"message": "Content deleted successfully"}
KEPT = {"message": "Content has learning records; retire it instead"}
NOT_FOUND = {"message": "Content not found"}
FOREIGN_KEY = "ADD CONSTRAINT progress_content_id_fkey FOREIGN KEY (content_id) REFERENCES content_library (id)"
one_shape = pytest.mark.parametrize("shape", ["backend"])
guide_only = pytest.mark.parametrize("shape", ["guide"])


@pytest.fixture
def app(make_app, database_url, redis, tmp_path):
    """The application with a content folder of this test's own."""
    made = make_app(database_url, CONTENT_STORAGE_PATH=str(tmp_path / "content"))
    yield made
    with made.app_context():
        db.engine.dispose()


@pytest.fixture
def folder(tmp_path):
    """The content folder, with one file in it and one beside it."""
    (tmp_path / "content" / "audio").mkdir(parents=True)
    (tmp_path / "content" / "audio" / "song.mp3").write_bytes(b"song")
    (tmp_path / "outside.mp3").write_bytes(b"not ours")
    return tmp_path / "content"


@pytest.fixture
def learning_records(sql, request):
    """Progress with this constraint instead of its own: an earlier server may have left it in another shape."""
    sql("ALTER TABLE progress DROP CONSTRAINT progress_content_id_fkey")
    if request.param:
        sql(f"ALTER TABLE progress {request.param}")
    yield
    sql("DELETE FROM progress")
    sql("ALTER TABLE progress DROP CONSTRAINT IF EXISTS progress_content_id_fkey")
    sql(f"ALTER TABLE progress {FOREIGN_KEY}")


def test_retiring_hides_an_item_and_keeps_its_row_and_file(client, as_parent, as_child, make_item, sql, folder):
    item = make_item(file_path="audio/song.mp3", usage_count=7)
    response = client.delete(f"/content/{item}", headers=as_parent)
    assert (response.status_code, response.get_json()) == (200, RETIRED | {"content_id": item})
    assert client.get(f"/content/{item}", headers=as_child).status_code == 404
    assert client.get("/content", headers=as_child).get_json()["content"] == []
    assert client.get("/content/subjects", headers=as_child).get_json() == {"subjects": [], "subject_counts": {}}
    shown = client.get(f"/content/{item}?active=false", headers=as_parent).get_json()["content"]
    assert (shown["active"], shown["usage_count"], shown["file_path"]) == (False, 7, "audio/song.mp3")
    assert (folder / "audio" / "song.mp3").exists()


def test_retiring_twice_is_no_error_and_leaves_the_date_of_the_first(client, as_parent, make_item, sql):
    item = make_item()
    for _ in range(2):
        response = client.delete(f"/content/{item}/", headers=as_parent)
        assert (response.status_code, response.get_json()) == (200, RETIRED | {"content_id": item})
        sql("UPDATE content_library SET updated_at = '2026-01-05' WHERE updated_at > '2026-01-06'")
        assert sql("SELECT active FROM content_library") == [{"active": False}]
    client.delete(f"/content/{item}", headers=as_parent)
    assert sql("SELECT updated_at::text AS dated FROM content_library") == [{"dated": "2026-01-05 00:00:00"}]


def test_purging_removes_row_and_file(client, as_parent, make_item, sql, folder):
    other = make_item()
    for active in (True, None, False):
        item = make_item(file_path="audio/song.mp3", active=active)
        (folder / "audio" / "song.mp3").write_bytes(b"song")
        response = client.delete(f"/content/{item}?purge=true", headers=as_parent)
        assert (response.status_code, response.get_json()) == (200, DELETED | {"content_id": item})
        assert sql("SELECT id FROM content_library") == [{"id": other}]
        assert list((folder / "audio").iterdir()) == []
        for send in (client.get, client.delete):
            again = send(f"/content/{item}?purge=true&active=all", headers=as_parent)
            assert (again.status_code, again.get_json()) == (404, NOT_FOUND)


@one_shape
def test_purge_is_asked_for_in_plain_words(client, as_parent, make_item, sql):
    for query in ("", "?purge=false", "?purge=0", "?other=1"):
        item = make_item()
        response = client.delete(f"/content/{item}{query}", headers=as_parent)
        assert (query, response.get_json()["message"]) == (query, RETIRED["message"])
    for query in ("?purge=true", "?purge=1"):
        item = make_item()
        response = client.delete(f"/content/{item}{query}", headers=as_parent)
        assert (query, response.get_json()["message"]) == (query, DELETED["message"])
    item = make_item()
    for query in ("?purge=TRUE", "?purge=yes", "?purge=2", "?purge=true%20", "?purge=%00", "?purge=null"):
        response = client.delete(f"/content/{item}{query}", headers=as_parent)
        assert (query, response.status_code) == (query, 400)
        assert response.get_json()["errors"] == [{"field": "purge", "message": "must be true or false"}]
    assert sql(f"SELECT active FROM content_library WHERE id = {item}") == [{"active": None}]


@guide_only
def test_an_item_with_learning_records_is_kept_but_may_be_retired(client, as_parent, child, make_item, sql, folder):
    item = make_item(file_path="audio/song.mp3")
    sql("INSERT INTO progress (child_id, content_id) VALUES (%s, %s)", (child, item))
    response = client.delete(f"/content/{item}?purge=true", headers=as_parent)
    assert (response.status_code, response.get_json()) == (409, KEPT)
    assert (folder / "audio" / "song.mp3").exists()
    assert client.get(f"/content/{item}", headers=as_parent).status_code == 200
    assert client.delete(f"/content/{item}", headers=as_parent).status_code == 200
    assert client.delete(f"/content/{item}?purge=true", headers=as_parent).status_code == 409
    assert len(sql("SELECT id FROM progress")) == len(sql("SELECT id FROM content_library")) == 1


@guide_only
def test_an_item_whose_learning_records_are_anothers_goes(client, as_parent, child, make_item, sql):
    item, other = make_item(), make_item()
    sql("INSERT INTO progress (child_id, content_id) VALUES (%s, %s)", (child, other))
    assert client.delete(f"/content/{item}?purge=true", headers=as_parent).status_code == 200
    assert len(sql("SELECT id FROM progress")) == 1


@guide_only
@pytest.mark.parametrize(
    "learning_records",
    ["", f"{FOREIGN_KEY} ON DELETE CASCADE", f"{FOREIGN_KEY} DEFERRABLE INITIALLY DEFERRED"],
    ids=["no foreign key", "deletes along", "checked at the commit"],
    indirect=True,
)
def test_learning_records_keep_an_item_whatever_their_foreign_key(
    learning_records, client, as_parent, parent, make_item, sql, folder
):
    item, child = make_item(file_path="audio/song.mp3"), make_child(sql, parent)
    sql("INSERT INTO progress (child_id, content_id) VALUES (%s, %s)", (child, item))
    response = client.delete(f"/content/{item}?purge=true", headers=as_parent)
    assert (response.status_code, response.get_json()) == (409, KEPT)
    assert len(sql("SELECT id FROM progress")) == len(sql("SELECT id FROM content_library")) == 1
    assert (folder / "audio" / "song.mp3").exists()


def test_a_file_that_an_import_at_work_may_have_come_to_use_stays(client, as_parent, make_item, folder, database_url):
    item = make_item(file_path="audio/song.mp3")
    importing = psycopg2.connect(database_url)
    try:
        importing.cursor().execute("SELECT pg_advisory_xact_lock(%s)", (IMPORT_LOCK,))
        assert client.delete(f"/content/{item}?purge=true", headers=as_parent).status_code == 200
    finally:
        importing.close()
    assert (folder / "audio" / "song.mp3").exists()


@pytest.mark.parametrize("deferred", ["", "DEFERRABLE INITIALLY DEFERRED"])
def test_records_in_a_table_that_we_do_not_know_keep_an_item_too(
    client, as_parent, make_item, sql, shape, folder, deferred
):
    item = make_item(file_path="audio/song.mp3")
    key = "id" if shape == "guide" else "content_id"
    sql(f"CREATE TABLE favourite (item integer REFERENCES content_library ({key}) {deferred})")
    try:
        sql("INSERT INTO favourite VALUES (%s)", (item,))
        response = client.delete(f"/content/{item}?purge=true", headers=as_parent)
    finally:
        sql("DROP TABLE favourite")
    assert (response.status_code, response.get_json()) == (409, KEPT)
    assert len(sql("SELECT id FROM content_library")) == 1
    assert (folder / "audio" / "song.mp3").exists()


@one_shape
def test_the_backends_progress_has_no_say_as_it_names_no_items(client, as_parent, child, make_item, sql):
    item = make_item()
    sql("INSERT INTO progress (child_id, rhyming) VALUES (%s, 50)", (child,))
    assert client.delete(f"/content/{item}?purge=true", headers=as_parent).status_code == 200


def test_a_file_that_another_item_uses_stays(client, as_parent, make_item, folder):
    items = [make_item(file_path="audio/song.mp3", active=active) for active in (True, False, None)]
    for item in items:
        assert (folder / "audio" / "song.mp3").exists()
        assert client.delete(f"/content/{item}?purge=true", headers=as_parent).status_code == 200
    assert not (folder / "audio" / "song.mp3").exists()


@pytest.mark.parametrize(
    "row",
    [
        "heggerty_curriculum_data (audio_file_path, lesson_number, skill_focus, activity_type) VALUES (%s, 1, '', '')",
        "nursery_rhyme_data (audio_file_path, rhyme_name) VALUES (%s, '')",
    ],
    ids=["heggerty", "nursery rhyme"],
)
def test_a_file_that_the_curriculum_uses_stays(client, as_parent, make_item, sql, folder, row):
    item = make_item(file_path="audio/song.mp3")
    sql(f"INSERT INTO {row}", ("audio/song.mp3",))
    assert client.delete(f"/content/{item}?purge=true", headers=as_parent).status_code == 200
    assert (folder / "audio" / "song.mp3").exists()


@one_shape
def test_a_file_that_is_not_there_is_no_hindrance(client, as_parent, make_item, sql):
    for path in ("audio/missing.mp3", "missing/folder/x.mp3", "", None):
        item = make_item(file_path=path)
        assert client.delete(f"/content/{item}?purge=true", headers=as_parent).status_code == 200
    assert sql("SELECT id FROM content_library") == []


@one_shape
def test_nothing_outside_the_folder_is_touched(client, as_parent, make_item, sql, folder):
    outside = folder.parent / "outside.mp3"
    (folder / "link.mp3").symlink_to(outside)
    (folder / "leads-out").symlink_to(folder.parent)
    (folder / "audio" / "loop").symlink_to(folder / "audio" / "loop")
    for path in (
        "../outside.mp3",
        "audio/../../outside.mp3",
        str(outside),
        "leads-out/outside.mp3",
        "link.mp3",
        "audio/loop/x.mp3",
        "audio/song.mp3/x",
        "audio\\..\\..\\outside.mp3",
        "a" * 300,
    ):
        item = make_item(file_path=path)
        response = client.delete(f"/content/{item}?purge=true", headers=as_parent)
        assert (path, response.status_code) == (path, 200)
        assert outside.read_bytes() == b"not ours"
    assert sql("SELECT id FROM content_library") == []
    assert (folder / "audio" / "song.mp3").exists()


@one_shape
def test_a_folder_is_not_removed_as_if_it_were_a_file(client, as_parent, make_item, folder):
    item = make_item(file_path="audio")
    assert client.delete(f"/content/{item}?purge=true", headers=as_parent).status_code == 200
    assert (folder / "audio" / "song.mp3").exists()


@one_shape
def test_a_file_goes_only_after_its_row(app, client, as_parent, make_item, sql, folder):
    item = make_item(file_path="audio/song.mp3")

    def lose_the_connection(connection):
        sql("SELECT pg_terminate_backend(%s)", (connection.connection.get_backend_pid(),))

    with app.app_context():
        engine = db.engine
    event.listen(engine, "commit", lose_the_connection)
    try:
        response = client.delete(f"/content/{item}?purge=true", headers=as_parent)
    finally:
        event.remove(engine, "commit", lose_the_connection)
    assert (response.status_code, list(response.get_json())) == (503, ["message", "request_id"])
    assert len(sql("SELECT id FROM content_library")) == 1
    assert (folder / "audio" / "song.mp3").exists()


@one_shape
def test_whoever_may_not_edit_deletes_nothing(client, as_child, make_item, sql, folder):
    item = make_item(file_path="audio/song.mp3")
    for query in ("", "?purge=true", "?purge=nonsense"):
        assert client.delete(f"/content/{item}{query}").status_code == 401
        response = client.delete(f"/content/{item}{query}", headers=as_child)
        assert (response.status_code, response.get_json()) == (403, {"message": "Parent access required"})
    assert sql("SELECT active FROM content_library") == [{"active": None}]
    assert (folder / "audio" / "song.mp3").exists()


@one_shape
def test_a_body_on_a_deletion_is_let_pass(client, as_parent, make_item):
    for body in (b"{}", b"no json", b"x" * 9_000_000):
        response = client.delete(
            f"/content/{make_item()}", data=body, content_type="application/json", headers=as_parent
        )
        assert response.status_code == 200


def test_the_next_item_does_not_get_the_id_of_a_purged_one(client, as_parent, make_item):
    item = make_item()
    client.delete(f"/content/{item}?purge=true", headers=as_parent)
    draft = {"content_type": "story", "subject_area": "math", "age_range": "3-5"}
    assert client.post("/content", json=draft, headers=as_parent).get_json()["content_id"] == item + 1
