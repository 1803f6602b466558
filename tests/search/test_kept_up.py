"""What search reads follows the items, whoever writes them, and never stands in a writer's way."""

import json
import threading

import flask_migrate
import psycopg2
import pytest

from library_server.extensions import db
from tests.conftest import SCHEMAS, run_sql

on_backend = pytest.mark.parametrize("shape", ["backend"])

INSERT = (
    "INSERT INTO content_library (content_type, subject_area, age_range, skill_objectives, content_metadata, active) "
    "VALUES ('story', 'math', '3-5', %s, %s, true) RETURNING content_id"
)
MANY = """
    INSERT INTO content_library (content_type, subject_area, age_range, skill_objectives, content_metadata)
    SELECT 'story', 'math', '3-5', '[]',
           json_build_object('title', left(translate(md5(i::text), '0123456789', 'ghijklmnop'), 20))
    FROM generate_series(%s, %s) i"""
ODD_JSON = [
    *("null", "[]", "{}", '""', "5", "true", '"text"', '[["deep"]]', '{"title": null}', '{"title": 5}', "  {}  "),
    *(
        r'{"title": "a\u0000b"}',
        r'{"title": "\ud800"}',
        r'["\udc00\ud800", "\\u0000", "\\\\ud800"]',
        r'{"\u0000": "x"}',
    ),
    *(r'{"a": "\\\u0000\\"}', '{"n": 1e999999}', '{"n": -123456789012345678901234567890.5}', '{"a": 1, "a": 2}'),
    *(
        "[" * 3000 + "]" * 3000,
        '["' + "x" * 3_000_000 + '"]',
        '["' + "word " * 300_000 + '"]',
        '["' + "é" * 3000 + '"]',
    ),
    '{"words": "' + " ".join(f"w{number:x}" for number in range(200_000)) + '"}',
    # each letter becomes six when it is folded
    json.dumps([" ".join("\u3316" * 105 + chr(97 + n // 26) + chr(97 + n % 26) for n in range(450))]),
]


@pytest.fixture
def found(client, as_child):
    """``found("words")``: the ids that a search finds exactly."""

    def ask(q):
        body = client.get("/content/search", query_string={"q": q, "per_page": 50}, headers=as_child).get_json()
        return [] if body["fuzzy"] else sorted(item["content_id"] for item in body["content"])

    return ask


@on_backend
def test_whatever_json_the_backend_stores_its_inserts_and_updates_work(sql, found):
    for stored in ODD_JSON:
        row = sql(INSERT, ('["volcano"]', stored))[0]["content_id"]
        sql("UPDATE content_library SET skill_objectives = %s WHERE content_id = %s", (stored, row))
        sql("UPDATE content_library SET skill_objectives = '[\"glacier\"]' WHERE content_id = %s", (row,))
    assert found("volcano") == []
    assert len(found("glacier")) == len(ODD_JSON)


@on_backend
def test_who_began_with_an_empty_library_does_not_read_all_words_for_every_new_one(database_url, sql):
    writer = psycopg2.connect(database_url)  # which keeps the plans of its first write
    try:
        cursor = writer.cursor()
        before = _words_read(sql)
        for batch in range(10):
            cursor.execute(MANY, (batch * 50, batch * 50 + 49))
            writer.commit()
    finally:
        writer.close()
    assert _words_read(sql) - before < 500
    assert sql("SELECT count(*) FROM library_word") == [{"count": 500}]  # reads them all itself, so it comes last


def _words_read(sql):
    """How many words were read one after the other, by whoever is done."""
    [read] = sql("SELECT seq_tup_read AS words FROM pg_stat_user_tables WHERE relname = 'library_word'")
    return read["words"]


@on_backend
def test_many_rows_at_once_are_kept_up_as_single_ones_are(sql):
    sql(MANY, (1, 20_000))
    sql(
        "SET statement_timeout = '60s';"  # to look for each of them among all would take minutes
        "UPDATE content_library SET active = false WHERE content_id = 1;"  # a connection keeps the plan of this one
        "UPDATE content_library SET active = true, download_priority = 1 + content_id % 7;"
        'UPDATE content_library SET content_metadata = \'{"title": "comet"}\' WHERE content_id % 3 = 0;'
        "UPDATE content_library SET content_id = content_id + 100000 WHERE content_id % 5 = 0"
    )
    kept = sql("SELECT * FROM library_search ORDER BY id")
    sql("SELECT library_refill()")
    assert len(kept) == 20_000
    assert sql("SELECT * FROM library_search ORDER BY id") == kept


@on_backend
def test_words_beside_what_jsonb_cannot_hold_are_found(sql, found):
    sql(INSERT, ("[]", r'{"title": "Half \ud83d moon\u0000 Gr\u00f6\u00dfe", "n": ["back\\slash\ntide"]}'))
    sql(INSERT, ("[]", '{"text": "comet", "n": 1e999999}'))
    assert found("half moon grosse") == found('"slash tide"') == [1]
    assert found("comet") == [2]


@on_backend
def test_the_backend_s_writes_are_found_at_once(sql, found):
    sql("INSERT INTO content_library VALUES (7, 'game', 'math', 'all', NULL, 'audio/robin-song.mp3')")
    rows = sql(INSERT, ('["robin"]', "{}")) + sql(INSERT, ("[]", '{"title": "Robin"}'))
    assert found("robin") == [1, 2, 7]
    sql('UPDATE content_library SET content_metadata = \'{"title": "Wren"}\' WHERE content_id = 2')
    sql("UPDATE content_library SET content_id = 70 WHERE content_id = 7")
    sql("UPDATE content_library SET active = false WHERE content_id = 1")
    assert (found("robin"), found("wren")) == ([70], [2])
    sql("DELETE FROM content_library WHERE content_id = 70")
    assert found("robin") == []
    sql("TRUNCATE content_library")
    assert sql("SELECT count(*) FROM library_search") == [{"count": 0}]
    assert rows


def test_an_editor_s_changes_are_found_at_once(client, as_parent, found):
    draft = {"content_type": "story", "subject_area": "math", "age_range": "all", "title": "Badger"}
    path = client.post("/content", json=draft, headers=as_parent).headers["Location"]
    assert found("badger") == [1]
    client.patch(path, json={"title": "Otter", "subject_area": "science"}, headers=as_parent)
    assert (found("badger"), found("otter")) == ([], [1])
    body = client.get("/content/search?q=otter&subject_area=science", headers=as_parent).get_json()
    assert body["pagination"]["total"] == 1
    client.delete(path, headers=as_parent)
    assert found("otter") == []
    client.patch(path, json={"active": True}, headers=as_parent)
    assert found("otter") == [1]
    client.delete(f"{path}?purge=true", headers=as_parent)
    assert found("otter") == []


@on_backend
def test_a_view_that_is_counted_writes_no_entry_anew(sql, make_item):
    item = make_item(title="Hedgehog", usage_count=20)
    before = sql("SELECT xmin::text, standing FROM library_search")
    sql("UPDATE content_library SET usage_count = 21 WHERE id = %s", (item,))
    assert sql("SELECT xmin::text, standing FROM library_search") == before
    sql("UPDATE content_library SET usage_count = 400 WHERE id = %s", (item,))
    assert sql("SELECT standing % 64 AS standing FROM library_search") == [{"standing": 63 - 8}]


@on_backend
def test_odd_numbers_stop_nobody(sql, found):
    for number in (-(2**31), 2**31 - 1, -1, 0, None):
        sql(
            "INSERT INTO content_library "
            "(content_type, subject_area, age_range, title, download_priority, usage_count) "
            "VALUES ('game', 'math', 'all', 'Odd', %s, %s)",
            (number, number),
        )
    assert len(found("odd")) == 5


@on_backend
def test_a_backend_that_may_not_touch_our_tables_still_writes(sql, database_url, found):
    sql("DROP ROLE IF EXISTS library_test_backend")
    sql("CREATE ROLE library_test_backend")
    try:
        sql("GRANT INSERT, UPDATE, DELETE, SELECT, TRUNCATE ON content_library TO library_test_backend")
        sql("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO library_test_backend")
        sql("SET ROLE library_test_backend; SET search_path = pg_catalog")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            sql("SELECT FROM public.library_search")
        sql(INSERT.replace("content_library", "public.content_library"), ("[]", '{"title": "Falcon"}'))
        sql('UPDATE public.content_library SET content_metadata = \'{"title": "Kestrel"}\'')
        assert found("kestrel") == [1]
        sql("DELETE FROM public.content_library; TRUNCATE public.content_library")
    finally:
        sql("RESET ROLE; RESET search_path; DROP OWNED BY library_test_backend; DROP ROLE library_test_backend")


@on_backend
def test_two_who_add_the_same_new_words_and_filters_do_not_wait_for_each_other(
    sql, database_url, found, client, as_child
):
    first, second = (psycopg2.connect(database_url) for _ in range(2))
    try:
        first.cursor().execute(INSERT, ('["aardvark zebu"]', "{}"))
        second.cursor().execute("SET statement_timeout = '3s'")
        second.cursor().execute(INSERT, ('["zebu aardvark"]', "{}"))
        second.commit()
        first.commit()
    finally:
        first.close()
        second.close()
    assert found("zebu") == [1, 2]
    body = client.get("/content/search?q=zebu&subject_area=math", headers=as_child).get_json()
    assert (body["facets"]["subject_area"], body["pagination"]["total"]) == ({"math": 2}, 2)


@on_backend
def test_filters_are_counted_whatever_others_store_there(sql, client, as_child):
    odd = ["Größe \" \\ '", "", "x" * 50]
    for subject in [*odd, odd[0]]:
        sql(INSERT.replace("'math'", "%s"), (subject, '["volcano"]', "{}"))
    sql("UPDATE content_library SET difficulty_level = 'easy' WHERE content_id = 2")
    facets = client.get("/content/search?q=volcano", headers=as_child).get_json()["facets"]
    assert facets["subject_area"] == {odd[0]: 2, odd[1]: 1, odd[2]: 1}
    assert facets["difficulty_level"] == {"easy": 1}


def test_rows_from_before_the_migration_are_found_and_what_is_written_meanwhile_too(create_database, make_app):
    url = create_database("backend")
    for stored in ODD_JSON:
        run_sql(url, INSERT, ('["volcano"]', stored))
    app = make_app(url)
    with app.app_context():
        flask_migrate.upgrade(revision="0002")
        writer = psycopg2.connect(url)  # is still writing when the migration fills its table
        writer.cursor().execute(INSERT, ('["volcano"]', '{"title": "Late"}'))
        threading.Timer(1.5, writer.commit).start()
        flask_migrate.upgrade()
        db.engine.dispose()
    writer.close()
    documents = run_sql(url, "SELECT count(*) FROM library_search WHERE document @@ 'volcano'")
    assert documents == [{"count": len(ODD_JSON) + 1}]
    assert run_sql(url, "SELECT count(*) FROM library_word WHERE word = 'late'") == [{"count": 1}]


def test_where_the_extensions_cannot_be_made_the_migration_goes_on_without(create_database, make_app):
    url = create_database("empty")
    run_sql(url, "DROP ROLE IF EXISTS library_test_owner")
    run_sql(url, "CREATE ROLE library_test_owner LOGIN")
    try:
        run_sql(url, "GRANT CREATE, USAGE ON SCHEMA public TO library_test_owner")  # not on the database
        run_sql(url, "SET ROLE library_test_owner")
        run_sql(url, (SCHEMAS / "guide.sql").read_text())
        run_sql(url, "RESET ROLE")
        app = make_app(url.replace("postgres@", "library_test_owner@"))
        with app.app_context():
            flask_migrate.upgrade()
            output = app.test_cli_runner().invoke(args=["library", "check-schema"]).output
            db.engine.dispose()
        assert run_sql(url, "SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'") == [{"count": 0}]
        assert "pg_trgm and fuzzystrmatch" in output
        with app.app_context():
            flask_migrate.downgrade(revision="0002")
            db.engine.dispose()
    finally:
        run_sql(
            url, "RESET ROLE; REASSIGN OWNED BY library_test_owner TO CURRENT_USER; DROP OWNED BY library_test_owner"
        )
        run_sql(url, "DROP ROLE library_test_owner")


@on_backend
def test_words_are_what_search_reads_whatever_stands_between_them(sql):
    title = '{"title": "Comet\\tNebula\\nquasar☂Moon★star, été-Éclair 3stars l\'eau 東京"}'
    sql(INSERT, ("[]", title))
    words = {row["word"] for row in sql("SELECT word FROM library_word")}
    assert {"comet", "nebula", "quasar", "moon", "star", "ete", "eclair", "leau"} <= words
    assert not [word for word in words if not word.isalpha()]
