"""An import as a whole: what rows become, again and again, together or not at all."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg2 import extensions
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from library_server.catalog.importing import ManifestError, Report, import_manifest
from library_server.catalog.services import item_changed
from library_server.extensions import db
from library_server.storage.local import LocalStorage
from tests.catalog_import.manifests import GOOD, WHOLE, as_csv, files_in, numbered, stored
from tests.conftest import run_sql


def test_every_column_is_stored_as_the_manifest_says(run: Any, sql: Any) -> None:
    assert run(WHOLE) == Report(rows=1, added=1)
    [item] = stored(sql)
    assert item.pop("created_at") == item["updated_at"]
    assert abs(item.pop("updated_at") - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=1)
    assert item == {
        **WHOLE,
        "id": 1,
        "skill_objectives": ["rhyming", {"week": 1}],
        "prerequisite_skills": ["counting", "telling_time"],
        "content_metadata": {"week": 1, "words": ["日本語", "🕷️"], "none": None},
        "download_priority": 2,
        "active": False,
        "usage_count": 0,
        "average_completion_time": None,
        "success_rate": None,
    }


def test_an_imported_item_is_what_the_api_would_have_made(
    run: Any, client: FlaskClient, as_parent: dict[str, str]
) -> None:
    run(GOOD)
    made = client.post("/content", json=GOOD, headers=as_parent).json["content"]
    imported = client.get("/content/1", headers=as_parent).json["content"]
    assert imported | dict.fromkeys(("content_id", "created_at", "updated_at")) == made | dict.fromkeys(
        ("content_id", "created_at", "updated_at")
    )


def test_items_are_numbered_in_the_manifest_s_order(run: Any, sql: Any) -> None:
    rows = numbered(300)[::-1]
    run(*rows)
    assert [item["title"] for item in stored(sql)] == [row["title"] for row in rows]


def test_importing_twice_adds_nothing_new(run: Any, sql: Any) -> None:
    rows = [WHOLE, GOOD | {"title": "another"}]
    run(*rows)
    before = stored(sql)
    assert run(*rows) == Report(rows=2, unchanged=2)
    assert run(*rows, update=True) == Report(rows=2, unchanged=2)
    assert stored(sql) == before


def test_an_item_that_is_there_stays_as_it_is(run: Any, sql: Any) -> None:
    run(WHOLE)
    before = stored(sql)
    assert run(WHOLE | {"description": "new", "active": "true"}) == Report(rows=1, unchanged=1)
    assert stored(sql) == before


@pytest.mark.parametrize(
    "change",
    [{"content_type": "game"}, {"subject_area": "science"}, {"age_range": "all"}, {"title": "a story"}],
    ids=lambda change: next(iter(change)),
)
def test_an_item_is_another_when_one_part_of_its_key_is(change: dict[str, str], run: Any, sql: Any) -> None:
    run(GOOD)
    assert run(GOOD | change, update=True) == Report(rows=1, added=1)
    assert len(stored(sql)) == 2


def test_update_makes_an_item_what_the_manifest_says(run: Any, sql: Any) -> None:
    run(WHOLE, GOOD | {"title": "same"})
    sql("UPDATE content_library SET usage_count = 7, updated_at = '2026-01-05', created_at = '2026-01-05'")
    changed = WHOLE | {"description": "new", "active": "", "skill_objectives": "", "difficulty_level": ""}
    assert run(changed, GOOD | {"title": "same"}, update=True) == Report(rows=2, updated=1, unchanged=1)
    item, same = stored(sql)
    assert (item["description"], item["active"], item["skill_objectives"]) == ("new", True, [])
    assert item["difficulty_level"] is None
    assert (item["file_path"], item["download_priority"], item["usage_count"]) == ("audio/größe.mp3", 2, 7)
    assert item["created_at"] == datetime(2026, 1, 5) < item["updated_at"]
    assert same["updated_at"] == datetime(2026, 1, 5)


def test_update_leaves_columns_alone_that_the_manifest_does_not_name(run: Any, sql: Any) -> None:
    run(WHOLE)
    assert run(GOOD | {"description": "new"}, update=True).updated == 1
    [item] = stored(sql)
    assert (item["description"], item["active"], item["download_priority"]) == ("new", False, 2)
    assert run(GOOD, update=True) == Report(rows=1, unchanged=1)


def test_update_adds_what_is_new(run: Any, sql: Any) -> None:
    run(GOOD)
    rows = [GOOD | {"description": "new"}, GOOD | {"title": "new"}]
    assert run(*rows, update=True) == Report(rows=2, added=1, updated=1)
    assert [item["title"] for item in stored(sql)] == ["A story", "new"]


@pytest.mark.parametrize("update", [False, True])
def test_an_item_that_the_api_made_the_same_is_left_as_it_is(
    update: bool, run: Any, client: FlaskClient, as_parent: dict[str, str]
) -> None:
    draft = GOOD | {"skill_objectives": ["a", "b"], "content_metadata": {"week": 1, "é": None}}
    client.post("/content", json=draft, headers=as_parent)
    row = GOOD | {"skill_objectives": "a;b", "content_metadata": '{"week":1,"é":null}'}
    assert run(row, update=update) == Report(rows=1, unchanged=1)


@pytest.mark.parametrize(
    ("there", "updated"),
    [
        pytest.param('[ "a", {"c": 1.0, "b": null} ]', 0, id="the same in another spelling"),
        pytest.param('["a", {"b": null, "c": 2}]', 1, id="another value"),
        pytest.param("null", 1, id="null"),
        pytest.param(None, 1, id="missing"),
        pytest.param('["a\\u0000", {"half": "\\ud83d"}]', 1, id="what jsonb does not take"),
    ],
)
def test_json_of_the_backend_s_is_compared_by_its_value(there: str | None, updated: int, run: Any, sql: Any) -> None:
    row = GOOD | {"skill_objectives": '["a", {"b": null, "c": 1}]'}
    run(row)
    sql("UPDATE content_library SET skill_objectives = %s", (there,))
    assert run(row, update=True) == Report(rows=1, updated=updated, unchanged=1 - updated)
    assert stored(sql)[0]["skill_objectives"] == ["a", {"b": None, "c": 1}]


@pytest.mark.parametrize("update", [False, True])
def test_two_items_alike_in_the_library_do_not_upset_the_count(
    update: bool, run: Any, make_item: Callable[..., int]
) -> None:
    for _ in range(2):
        make_item(**GOOD)
    report = run(GOOD | {"description": "new"}, update=update)
    assert (report.rows, report.added) == (1, 0)
    assert min(report.updated, report.unchanged) >= 0


def test_a_dry_run_says_what_would_be_done_and_does_nothing(run: Any, sql: Any, files: Path, content: Path) -> None:
    run(WHOLE)
    before = stored(sql)
    rows = [
        WHOLE | {"description": "new", "file_path": ""},
        GOOD | {"title": "new", "file_path": "audio/one.mp3"},
        GOOD | {"title": "bad", "file_path": "audio/none.mp3"},
    ]
    dry = run(*rows, files=files, update=True, dry_run=True)
    assert (dry.rows, dry.added, dry.updated, len(dry.problems)) == (3, 1, 1, 1)
    assert stored(sql) == before
    assert not content.exists()


@pytest.mark.parametrize(
    ("times", "options", "told"),
    [(1, {}, 1), (2, {}, 1), (1, {"dry_run": True}, 0)],
    ids=["added", "the second time nothing", "dry run"],
)
def test_caches_are_told_once_and_only_of_changes(times: int, options: Any, told: int, run: Any) -> None:
    heard: list[object] = []
    with item_changed.connected_to(lambda sender, item_id: heard.append(item_id)):
        for _ in range(times):
            run(GOOD, GOOD | {"title": "another"}, **options)
    assert heard == [None] * told


def test_a_failure_of_the_database_leaves_neither_rows_nor_files(
    run: Any, sql: Any, database_url: str, files: Path, content: Path
) -> None:
    (content / "audio").mkdir(parents=True)
    (content / "audio/two.mp3").write_bytes((files / "audio/two.mp3").read_bytes())
    rows = [
        GOOD | {"title": title, "file_path": path}
        for title, path in (("good", "audio/one.mp3"), ("there", "audio/two.mp3"), ("Boom", "images/three.png"))
    ]
    with refusing(database_url, "Boom"), pytest.raises(DBAPIError, match="no such title"):
        run(*rows, files=files)
    assert stored(sql) == []
    assert files_in(content).keys() == {"audio/two.mp3"}
    assert run(*rows, files=files) == Report(rows=3, added=3, files=2)


def test_a_manifest_that_breaks_off_after_many_rows_leaves_nothing(
    run: Any, sql: Any, files: Path, content: Path
) -> None:
    rows = [GOOD | {"title": "first", "file_path": "audio/one.mp3"}, *numbered(6_000)]
    with pytest.raises(ManifestError):
        run(as_csv(rows).encode() + b'"\xff', files=files)
    assert (stored(sql), files_in(content)) == ([], {})


def test_ctrl_c_leaves_neither_rows_nor_files(run: Any, sql: Any, files: Path, content: Path) -> None:
    lines: list[int] = []

    def interrupt(count: int) -> None:
        lines.append(count)
        if sum(lines) > 5_500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(GOOD | {"file_path": "audio/one.mp3"}, *numbered(6_000), files=files, progress=interrupt)
    assert (stored(sql), files_in(content)) == ([], {})


def test_an_import_that_fails_leaves_a_file_that_somebody_has_come_to_use(
    run: Any, sql: Any, files: Path, content: Path
) -> None:
    def use_and_interrupt(_: int) -> None:
        if files_in(content):
            sql(
                "INSERT INTO content_library (content_type, subject_area, age_range, title, file_path) "
                "VALUES ('story', 'math', '3-5', 'Theirs', 'audio/one.mp3')"
            )
            raise KeyboardInterrupt

    rows = [GOOD | {"file_path": "audio/one.mp3"}, GOOD | {"title": "b", "file_path": "audio/two.mp3"}]
    with pytest.raises(KeyboardInterrupt):
        run(*rows, *numbered(6_000), files=files, progress=use_and_interrupt)
    assert files_in(content).keys() == {"audio/one.mp3"}


def test_two_imports_at_once_add_each_row_once(app: Flask, write: Any, database_url: str, sql: Any) -> None:
    manifest = write(*numbered(2_000))
    with locking(database_url) as release:
        imports = [InBackground(app, manifest) for _ in range(2)]
        wait_until(lambda: waiting(database_url) == 2)
        release()
    reports = sorted((each.join() for each in imports), key=lambda report: report.added)
    assert reports == [Report(rows=2_000, unchanged=2_000), Report(rows=2_000, added=2_000)]
    assert len(stored(sql)) == 2_000


def test_an_import_that_fails_takes_no_file_from_the_one_that_waits_for_it(
    app: Flask, database_url: str, tmp_path: Path, files: Path, content: Path, monkeypatch: pytest.MonkeyPatch, sql: Any
) -> None:
    remove = LocalStorage.remove
    monkeypatch.setattr(LocalStorage, "remove", lambda *args: time.sleep(0.5) or remove(*args))  # a slow disk
    manifests = [tmp_path / f"{title}.csv" for title in ("Boom", "good")]
    for manifest in manifests:
        manifest.write_text(as_csv([GOOD | {"title": manifest.stem, "file_path": "audio/one.mp3"}]))
    with refusing(database_url, "Boom"):
        with locking(database_url) as release:
            failing = InBackground(app, manifests[0], files)
            wait_until(lambda: waiting(database_url) == 1)
            good = InBackground(app, manifests[1], files)
            wait_until(lambda: waiting(database_url) == 2)
            release()
        with pytest.raises(DBAPIError):
            failing.join()
        assert good.join().added == 1
    assert [item["title"] for item in stored(sql)] == ["good"]
    assert files_in(content).keys() == {"audio/one.mp3"}


@pytest.mark.parametrize("shape", ["guide"])
def test_statements_grow_with_batches_not_with_rows(app: Flask, write: Any) -> None:
    few, many = (
        statements_of(lambda count=count: import_manifest(write(*numbered(count)), update=True))
        for count in (1, 20_000)
    )
    assert few <= 15
    assert many - few <= 2 * (20_000 / 5_000)


class InBackground:
    """An import in a thread of its own; `join` gives its report or raises what it raised."""

    def __init__(self, app: Flask, manifest: Path, files: Path | None = None) -> None:
        self._app, self._manifest, self._files = app, manifest, files
        self._result: Report | Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with self._app.app_context():
            try:
                self._result = import_manifest(self._manifest, self._files)
            except Exception as error:
                self._result = error

    def join(self) -> Report:
        self._thread.join(30)
        if isinstance(self._result, Exception):
            raise self._result
        assert self._result is not None
        return self._result


class CountingCursor(extensions.cursor):
    """A cursor that counts what it sends to PostgreSQL, COPY included."""

    sent = 0

    def execute(self, *args: Any) -> None:
        CountingCursor.sent += 1
        super().execute(*args)

    def copy_expert(self, *args: Any) -> None:
        CountingCursor.sent += 1
        super().copy_expert(*args)


def statements_of(work: Callable[[], object]) -> int:
    """How many statements `work` sends."""

    def count(connection: Any, *rest: Any) -> None:
        connection.cursor_factory = CountingCursor

    before = CountingCursor.sent
    event.listen(db.engine, "checkout", count)
    try:
        work()
    finally:
        event.remove(db.engine, "checkout", count)
        db.session.remove()
        db.engine.dispose()
    return CountingCursor.sent - before


@contextmanager
def refusing(url: str, title: str) -> Iterator[None]:
    """While open, the database itself takes no item with this title."""
    run_sql(
        url,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no such title'; END $$; "
        f"CREATE TRIGGER refuse BEFORE INSERT ON content_library FOR EACH ROW WHEN (new.title = '{title}') "
        "EXECUTE FUNCTION refuse()",
    )
    try:
        yield
    finally:
        run_sql(url, "DROP FUNCTION refuse CASCADE")


@contextmanager
def locking(url: str) -> Iterator[Callable[[], None]]:
    """Nobody else writes to the library until the context is left or what it gives is called."""
    connection = psycopg2.connect(url)
    try:
        connection.cursor().execute("LOCK content_library IN EXCLUSIVE MODE")
        yield connection.rollback
    finally:
        connection.close()


def waiting(url: str) -> int:
    """How many connections to the database wait for a lock."""
    found = run_sql(
        url,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    return int(found[0]["count"])


def wait_until(condition: Callable[[], bool]) -> None:
    """Returns once `condition` holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
