"""The counts that lists go by: exact whatever is written, nobody waits for them, and they spare reading the rest."""

import itertools
import json
import random
import re
import time

import flask_migrate
import psycopg2
import pytest
from sqlalchemy.exc import OperationalError

from library_server.catalog import counts
from library_server.extensions import db
from library_server.operations.housekeeping import _do
from tests.migrations.databases import SHAPES, fill

one_shape = pytest.mark.parametrize("shape", ["backend"])
VALUES = {
    "subject_area": ["math", "science", 'odd "one" \\'],
    "age_range": ["3-5", "all"],
    "content_type": ["story", "game"],
    "difficulty_level": ["easy", "Größe", None],
}
PRIORITIES = [None, 1, 5, 5, 5, -(2**31), 2**31 - 1]
STATES = {"true": [True], "false": [False], "all": [True, False]}
PAGE = "SELECT total, ids FROM library_page(%s, %s, %s, %s)"
INSERT = (
    "INSERT INTO content_library (content_type, subject_area, age_range, title, difficulty_level, download_priority, "
    "active) VALUES (%(content_type)s, %(subject_area)s, %(age_range)s, 'T', %(difficulty_level)s, %(priority)s, "
    "%(active)s)"
)


@pytest.fixture
def short_stretches(sql):
    """Stretches are cut from seven items on, into pieces of three."""
    [made] = sql("SELECT pg_get_functiondef('library_cut()'::regprocedure) AS whole")
    assert made["whole"].count("2000") == 2
    sql(made["whole"].replace("2000", "3"))
    yield
    sql(made["whole"])


@pytest.fixture
def fold(app):
    """``fold()`` as housekeeping does it, which comes back if PostgreSQL's own is at that table just then."""

    def run():
        deadline = time.monotonic() + 5
        with app.app_context():
            while True:
                try:
                    counts.fold()
                    break
                except OperationalError:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)

    return run


@pytest.fixture
def wrong(app):
    """``wrong()``: by how many items the counts are out."""

    def ask():
        with app.app_context():
            return counts.wrong()

    return ask


def test_every_page_of_every_list_is_right_whatever_is_written(sql, short_stretches, fold, wrong):
    dice = random.Random(6)
    for turn in range(60):
        _write(sql, dice)
        if dice.random() < 0.4:
            fold()
        if turn == 40:
            sql("TRUNCATE content_library CASCADE")
        _compare(sql, dice, windows=6)
    assert wrong() == 0
    fold()
    assert sql("SELECT count(*) FROM library_moved") == [{"count": 0}]
    assert wrong() == 0
    assert sql("SELECT max(count) <= 6 AS short, count(*) > 300 AS many FROM library_stretch") == [
        {"short": True, "many": True}
    ]
    _compare(sql, dice, windows=200)


@one_shape
def test_the_api_answers_with_these_pages(sql, client, as_parent, short_stretches, fold):
    dice = random.Random(7)
    for _ in range(12):
        _write(sql, dice)
        fold()
    _write(sql, dice)
    rows = _rows(sql)
    for active, subject in itertools.product(STATES, [None, *VALUES["subject_area"], "none"]):
        expected = _expected(rows, {"subject_area": subject} if subject else {}, STATES[active])
        query = {"active": active, "subject_area": subject, "limit": 7}
        for offset in (0, 3, len(expected) // 2, max(len(expected) - 4, 0), len(expected), 10**9):
            body = client.get("/content", query_string=query | {"offset": offset}, headers=as_parent).get_json()
            assert [item["content_id"] for item in body["content"]] == expected[offset : offset + 7]
            assert body["pagination"]["total"] == len(expected)
    for facet, name in (("subjects", "subject_area"), ("age-ranges", "age_range"), ("content-types", "content_type")):
        counted = client.get(f"/content/{facet}", headers=as_parent).get_json()[f"{name.removesuffix('_area')}_counts"]
        every = {value: len(_expected(rows, {name: value}, [True])) for value in VALUES[name]}
        assert counted == {value: count for value, count in every.items() if count}


@one_shape
def test_writers_and_folds_never_wait_for_each_other_and_what_is_rolled_back_never_was(
    sql, database_url, short_stretches, fold, wrong
):
    writers = [psycopg2.connect(database_url, options="-c statement_timeout=3s") for _ in range(3)]
    row = {**dict.fromkeys(("difficulty_level", "active")), "subject_area": "new", "age_range": "x", "priority": 5}
    try:
        for number, writer in enumerate(writers):
            for _ in range(10):
                writer.cursor().execute(INSERT, row | {"content_type": f"type {number % 2}"})
        assert _total(sql) == 0
        fold()
        writers[0].commit()
        assert (_total(sql), _total(sql, {"content_type": "type 1"})) == (10, 0)
        fold()
        writers[1].rollback()
        assert (_total(sql), wrong()) == (10, 0)
        cursor = writers[2].cursor()
        cursor.execute("DELETE FROM content_library WHERE id % 2 = 0; SAVEPOINT here")
        cursor.execute("UPDATE content_library SET subject_area = 'other'; ROLLBACK TO here")
        fold()
        assert _total(sql) == 10
        writers[2].commit()
        assert (_total(sql), _total(sql, {"subject_area": "other"}), wrong()) == (10, 0, 0)
    finally:
        for writer in writers:
            writer.close()
    fold()
    assert (_total(sql), wrong()) == (10, 0)


@one_shape
def test_of_two_who_fold_at_once_one_gives_up(app, sql, make_item, database_url, fold, caplog):
    make_item()
    other = psycopg2.connect(database_url)
    try:
        other.cursor().execute("LOCK TABLE library_stretch IN SHARE ROW EXCLUSIVE MODE")
        with app.app_context(), pytest.raises(OperationalError):
            counts.fold()
        _do(app, counts.fold)  # housekeeping, which takes that for nothing
        assert not [record for record in caplog.records if record.levelname == "ERROR"]
        assert _total(sql) == 1
    finally:
        other.close()
    fold()
    assert sql("SELECT count(*) FROM library_moved") == [{"count": 0}]


@one_shape
def test_who_reads_while_others_fold_counts_nothing_twice(sql, database_url, make_item, fold):
    for _ in range(5):
        make_item()
    reader = psycopg2.connect(database_url)
    reader.set_session(isolation_level="REPEATABLE READ")
    try:
        cursor = reader.cursor()
        cursor.execute("SELECT 1")
        fold()
        cursor.execute(PAGE, ("{}", [True], 0, 20))
        assert cursor.fetchone()[0] == 5
    finally:
        reader.close()
    assert _total(sql) == 5


@one_shape
def test_what_is_only_counted_or_reworded_moves_nothing_and_many_at_once_are_noted_together(sql, make_item, fold):
    item = make_item(usage_count=1)
    fold()
    sql("UPDATE content_library SET usage_count = 1000, success_rate = 3, title = 'Other' WHERE id = %s", (item,))
    assert sql("SELECT count(*) FROM library_moved") == [{"count": 0}]
    sql(
        "INSERT INTO content_library (content_type, subject_area, age_range, title, download_priority) "
        "SELECT 'story', (ARRAY['math', 'art'])[1 + n %% 2], 'all', 'T', n %% 3 FROM generate_series(1, 600) n",
        (),
    )
    assert sql("SELECT count(*), sum(cardinality(ids)) FROM library_moved") == [{"count": 6, "sum": 600}]


@one_shape
def test_counts_that_do_not_add_up_are_told_and_made_anew(app, sql, make_item, fold):
    for number in range(5):
        make_item(download_priority=number)
    fold()
    make_item(active=False)
    runner = app.test_cli_runner()
    assert "add up" in runner.invoke(args=["library", "check-schema"]).output
    sql("UPDATE library_stretch SET count = count + 2 WHERE priority = 3; DELETE FROM library_moved")
    told = runner.invoke(args=["library", "check-schema"])
    assert "out by 3 items: lists and their totals are wrong; run `flask library recount`" in told.output
    assert told.exit_code == 1
    done = runner.invoke(args=["library", "recount"])
    assert (done.exit_code, done.output) == (0, "Counted.\n")
    assert (_total(sql), _total(sql, {}, "false"), _total(sql, {}, "all")) == (5, 1, 6)
    changes = [
        "DELETE FROM content_library WHERE download_priority = 1",
        "UPDATE content_library SET title = 'Elephant', subject_area = 'history' WHERE download_priority = 2",
        "INSERT INTO content_library (content_type, subject_area, age_range, title) "
        "VALUES ('story', 'art', 'all', 'Walrus')",
    ]
    sql(f"ALTER TABLE content_library DISABLE TRIGGER USER; {'; '.join(changes)}")
    sql("ALTER TABLE content_library ENABLE TRIGGER USER")
    assert "still out by 4 items: library_search lacks some" in runner.invoke(args=["library", "recount"]).output
    assert runner.invoke(args=["library", "recount", "--search"]).output == "Counted.\n"
    assert sql("SELECT title FROM library_search ORDER BY title") == [
        {"title": title} for title in (*[" a story"] * 4, " elephant", " walrus")
    ]
    assert [row["word"] for row in sql("SELECT word FROM library_word ORDER BY word")] == [
        "elephant",
        "story",
        "walrus",
    ]
    assert runner.invoke(args=["library", "check-schema"]).exit_code == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_from_before_are_counted_and_without_the_counts_lists_are_the_same(shape, create_database, make_app):
    url = create_database(shape)
    if shape != "empty":
        fill(url)
    answers = []
    for revision in ("0005", "0006", "0005", "0006"):
        app = make_app(url)
        with app.app_context():
            (flask_migrate.downgrade if len(answers) == 2 else flask_migrate.upgrade)(revision=revision)
            if revision == "0006":
                assert counts.wrong() == 0
            answers.append(_ask_all(app))
            db.engine.dispose()
    assert answers[0] == answers[1] == answers[2] == answers[3]


@one_shape
@pytest.mark.parametrize("skewed", [False, True])
def test_no_more_is_read_of_a_library_that_has_grown(sql, fold, skewed):
    sql(
        "INSERT INTO library_kind (filters) SELECT jsonb_build_object('subject_area', 's' || n % 3, 'age_range', "
        "'a' || n % 4, 'content_type', 'c' || n % 5, 'difficulty_level', 'd') FROM generate_series(1, 60) n"
    )
    read = [_grow_and_read(sql, fold, skewed, *rows) for rows in ((1, 12_000), (12_001, 60_000))]
    for path in read[0]:
        assert read[1][path] <= 1.5 * read[0][path] + 125, (path, read)  # a few for each stretch of 1000 to 4000


def _grow_and_read(sql, fold, skewed, first, last):
    """Adds items where lists look for them; returns how many blocks each of some pages takes to find."""
    sql(
        "INSERT INTO library_search (id, active, kind, priority, standing, title, document) "
        f"SELECT n, true, 1 + n %% 60, {5 if skewed else 'n %% 7'}, 0, '', '' FROM generate_series(%s, %s) n",
        (first, last),
    )
    fold()
    for table in ("library_search", "library_stretch", "library_shelf"):
        sql("SET synchronous_commit = on")  # VACUUM marks no page whose commit is not on disk yet
        for _ in range(20):  # nor one that is just being written
            sql(f"VACUUM ANALYZE {table}")
            if sql("SELECT relallvisible >= relpages AS done FROM pg_class WHERE relname = %s", (table,))[0]["done"]:
                break
    asked = [{}, {"subject_area": "s1"}, {"subject_area": "s1", "age_range": "a1"}]
    asked.append(asked[-1] | {"content_type": "c1", "difficulty_level": "d"})
    read = {}
    for filters in asked:
        total = _total(sql, filters)
        assert total
        for share in (0, 0.25, 0.5, 0.8, 1):
            given = (json.dumps(filters), [True], max(int(total * share) - 20, 0), 20)
            sql(PAGE, given)
            plan = "\n".join(line["QUERY PLAN"] for line in sql(f"EXPLAIN (ANALYZE, BUFFERS) {PAGE}", given))
            read[len(filters), share] = sum(map(int, re.findall(r"^ +Buffers: shared hit=(\d+)", plan, re.M)[:1]))
    assert all(read.values())
    return read


def _write(sql, dice):
    """A statement or a few of a kind that editors, imports, the backend and counting send."""
    some = f"id % {dice.randint(3, 9)} = {dice.randint(0, 2)}"
    name = dice.choice(list(VALUES))
    kinds = ["one", "many", "many", "filter", "priority", "retire", "delete", "use", "key"]
    match dice.choice(kinds):
        case "one":
            sql(INSERT, _row(dice))
        case "many":
            rows = [_row(dice) for _ in range(dice.randint(1, 40))]
            sql(
                f"{INSERT.partition('VALUES')[0]} SELECT content_type, subject_area, age_range, 'T', difficulty_level, "
                "priority, active FROM json_to_recordset(%s) AS given (content_type text, subject_area text, "
                "age_range text, difficulty_level text, priority int, active boolean)",
                (json.dumps(rows),),
            )
        case "filter":
            sql(f"UPDATE content_library SET {name} = '{dice.choice(VALUES[name]) or 'story'}' WHERE {some}")
        case "priority":
            sql(f"UPDATE content_library SET download_priority = {dice.choice(PRIORITIES) or 'NULL'} WHERE {some}")
        case "retire":
            sql(f"UPDATE content_library SET active = {dice.choice(['true', 'false', 'NULL'])} WHERE {some}")
        case "delete":
            sql(f"DELETE FROM content_library WHERE {some} AND id % 2 = 0")
        case "use":
            sql(f"UPDATE content_library SET usage_count = coalesce(usage_count, 0) + 50 WHERE {some}")
        case "key":
            key = _key(sql)
            sql(f"UPDATE content_library SET {key} = {key} + 5000 WHERE id = (SELECT min(id) FROM content_library)")


def _row(dice):
    row = {name: dice.choice(values) for name, values in VALUES.items()}
    return row | {"priority": dice.choice(PRIORITIES), "active": dice.choice([True, True, None, False])}


def _rows(sql):
    return sql(f"SELECT id, download_priority, active, {', '.join(VALUES)} FROM content_library")


def _expected(rows, filters, states):
    """The ids of a list, found the long way."""
    chosen = [
        row
        for row in rows
        if (row["active"] is not False) in states and all(row[name] == value for name, value in filters.items())
    ]
    chosen.sort(key=lambda row: (row["download_priority"] is None, row["download_priority"] or 0, row["id"]))
    return [row["id"] for row in chosen]


def _compare(sql, dice, windows):
    rows = _rows(sql)
    for _ in range(windows):
        names = dice.sample(list(VALUES), dice.choice([0, 0, 1, 1, 2, 3, 4]))
        filters = {name: dice.choice([value for value in VALUES[name] if value]) for name in names}
        states = STATES[dice.choice(["true", "true", "false", "all"])]
        expected = _expected(rows, filters, states)
        skip = dice.choice([0, dice.randint(0, len(expected) + 3), max(len(expected) - 5, 0)])
        most = dice.choice([1, 7, 20, 50])
        [found] = sql(PAGE, (json.dumps(filters), states, skip, most))
        assert (found["total"], found["ids"]) == (len(expected), expected[skip : skip + most]), (filters, states, skip)


def _total(sql, filters=None, active="true"):
    return sql(PAGE, (json.dumps(filters or {}), STATES[active], 0, 1))[0]["total"]


def _ask_all(app):
    """What lists and facets answer, past signing in: an empty database has nobody."""
    from library_server.actor import Actor
    from library_server.catalog.queries import count_by, list_items
    from library_server.catalog.schemas import dump_item
    from library_server.lib.paging import Window

    actor, told = Actor(1, "parent", True), []
    for active, skip, subject in itertools.product(STATES, (0, 50, 190), (None, "Größe")):
        items, total = list_items(actor, {"subject_area": subject}, Window(skip, 20), active=active)
        told.append((total, [dump_item(item) | {"file_url": None} for item in items]))
    return [*told, *(list(count_by(actor, facet).items()) for facet in ("subject_area", "age_range", "content_type"))]


def _key(sql):
    names = sql("SELECT attname FROM pg_attribute WHERE attrelid = 'content_library'::regclass AND attnum = 1")
    return names[0]["attname"]
