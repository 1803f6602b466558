"""`flask library check-schema`: what a database has and lacks, in sentences, and an exit status for scripts."""

from collections.abc import Callable, Iterator
from typing import Any

import flask_migrate
import pytest
from alembic.script import ScriptDirectory
from flask import Flask

from library_server.app import MIGRATIONS
from library_server.extensions import db
from library_server.operations.schema_report import Level
from library_server.shared.schema import VERSION_TABLE
from tests.conftest import SCHEMAS, run_sql

HEAD = ScriptDirectory(str(MIGRATIONS)).get_current_head()
FINE, DEGRADED, UNUSABLE = 0, 1, 2
NO_SEARCH = "degraded  library_search: not found: search and suggestions are off. To create it, run `flask db upgrade`."
NO_COUNTS = "degraded  library_stretch: not found: lists are slow. To create it, run `flask db upgrade`."
CURRICULUM = ("heggerty_curriculum_data", "nursery_rhyme_data", "multi_subject_curriculum")

on_guide = pytest.mark.parametrize("shape", ["guide"])
on_backend = pytest.mark.parametrize("shape", ["backend"])


@pytest.fixture(scope="module")
def any_database(create_database: Callable[[str], str]) -> str:
    """The database that every test makes anew."""
    return create_database("empty")


@pytest.fixture
def found(shape: str, any_database: str) -> str:
    """A database of that shape as it was found: no migration has run."""
    run_sql(any_database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    if shape != "empty":
        run_sql(any_database, (SCHEMAS / f"{shape}.sql").read_text())
    return any_database


@pytest.fixture
def adopted(found: str, make_app: Callable[..., Flask]) -> str:
    """The same, migrated."""
    app = make_app(found)
    with app.app_context():
        flask_migrate.upgrade()
        db.engine.dispose()
    return found


@pytest.fixture
def check(make_app: Callable[..., Flask]) -> Iterator[Callable[..., tuple[int, list[str]]]]:
    """``check(url, SETTING=…)``: the command's exit status and its lines."""
    apps = []

    def run(url: str, **settings: object) -> tuple[int, list[str]]:
        apps.append(make_app(url, **settings))
        result = apps[-1].test_cli_runner().invoke(args=["library", "check-schema"])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output.splitlines()

    yield run
    for app in apps:
        with app.app_context():
            db.engine.dispose()


SLOW = "without an index on child_id recommendations slow down with its rows (docs/recommendations.md)."


@pytest.mark.parametrize("shape", ["guide"])
def test_an_index_of_progress_ends_the_advice(adopted: str, check: Any) -> None:
    run_sql(adopted, "CREATE INDEX ON progress (child_id, content_id)")
    assert SLOW not in "".join(check(adopted)[1])


@pytest.mark.parametrize(
    ("shape", "origin", "progress"),
    [
        ("guide", "as in the integration guide", "found; items that its rows name can be retired, not purged."),
        (
            "backend",
            "the backend's, with its key content_id",
            "no rows that name items: nothing keeps an item from being purged.",
        ),
    ],
)
def test_an_adopted_database_is_fine(shape: str, origin: str, progress: str, adopted: str, check: Any) -> None:
    assert check(adopted) == (
        FINE,
        [
            f"fine      migrations: at {HEAD}, the newest.",
            f"fine      content_library: found ({origin}), every column is there.",
            "fine      library_stretch: found; the counts that lists go by add up.",
            "fine      library_search: found; misspelt words are found by their letters and by their sound.",
            *(f"fine      {table}: found, every column is there." for table in CURRICULUM),
            "fine      parent: found; read only.",
            "fine      child: found; read only.",
            f"fine      progress: {progress}",
            f"fine      progress: {SLOW}",
            "Altogether: fine.",
        ],
    )


@pytest.mark.parametrize("shape", ["empty"])
def test_an_empty_database_is_told_what_it_lacks(found: str, check: Any) -> None:
    assert check(found) == (
        UNUSABLE,
        [
            "degraded  migrations: never run on this database: run `flask db upgrade`.",
            "unusable  content_library: not found: there is no library. To create it, run `flask db upgrade`.",
            NO_SEARCH,
            *(
                f"degraded  {table}: not found: its curriculum is off. To create it, run `flask db upgrade`."
                for table in CURRICULUM
            ),
            "unusable  parent: not found, or without id: no parent can sign in, nobody can edit.",
            "degraded  child: not found, or without id: no child can sign in.",
            "fine      progress: no rows that name items: nothing keeps an item from being purged.",
            "Altogether: unusable.",
        ],
    )


@pytest.mark.parametrize("shape", ["empty"])
def test_an_empty_database_that_was_migrated_still_waits_for_its_people(adopted: str, check: Any) -> None:
    status, lines = check(adopted)
    assert status == UNUSABLE
    assert {line for line in lines if not line.startswith("fine")} == {
        "unusable  parent: not found, or without id: no parent can sign in, nobody can edit.",
        "degraded  child: not found, or without id: no child can sign in.",
        "Altogether: unusable.",
    }


@on_guide
def test_the_guide_s_database_serves_slowly_before_it_is_migrated(found: str, check: Any) -> None:
    status, lines = check(found)
    assert status == DEGRADED
    assert {line for line in lines if not line.startswith("fine")} == {
        "degraded  migrations: never run on this database: run `flask db upgrade`.",
        NO_COUNTS,
        NO_SEARCH,
        "Altogether: degraded.",
    }


@on_backend
def test_the_backend_s_database_is_unusable_before_it_is_migrated(found: str, check: Any) -> None:
    status, lines = check(found)
    assert status == UNUSABLE
    assert [line for line in lines if "content_library" in line] == [
        "unusable  content_library: found (the backend's, with its key content_id) without id, title, description, "
        "usage_count, average_completion_time, success_rate: items cannot be read. To add them, run `flask db upgrade`."
    ]


@pytest.mark.parametrize(
    ("shape", "change", "status", "sentence"),
    [
        pytest.param(
            "guide",
            f"UPDATE {VERSION_TABLE} SET version_num = '0000'",
            DEGRADED,
            f"migrations: at 0000, the newest is {HEAD}: run `flask db upgrade`.",
            id="another version",
        ),
        pytest.param(
            "guide",
            f"DELETE FROM {VERSION_TABLE}",
            DEGRADED,
            "migrations: never run on this database: run `flask db upgrade`.",
            id="no version",
        ),
        pytest.param(
            "guide",
            "ALTER TABLE content_library DROP title, DROP active CASCADE",
            UNUSABLE,
            "content_library: found (as in the integration guide) without title, active: items cannot be read. "
            "To add them, run `flask db upgrade`.",
            id="columns of items",
        ),
        pytest.param(
            "backend",
            "DROP TABLE content_library CASCADE",
            UNUSABLE,
            "content_library: not found: there is no library. To create it, run `flask db upgrade`.",
            id="no library",
        ),
        pytest.param(
            "backend",
            "DROP INDEX ix_library_search_list",
            DEGRADED,
            "library_search: the two indexes of its lists are missing, or not valid: lists are slow "
            "(docs/operating.md).",
            id="one index",
        ),
        pytest.param(
            "guide",
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_library_search_kind'::regclass",
            DEGRADED,
            "library_search: the two indexes of its lists are missing, or not valid: lists are slow "
            "(docs/operating.md).",
            id="an index that is not valid",
        ),
        *(
            pytest.param(
                shape,
                f"DROP TABLE {table}",
                DEGRADED,
                f"{table}: not found: its curriculum is off. To create it, run `flask db upgrade`.",
                id=f"no {table}",
            )
            for shape, table in zip(("guide", "backend", "guide"), CURRICULUM, strict=True)
        ),
        pytest.param(
            "backend",
            "ALTER TABLE nursery_rhyme_data DROP lyrics, DROP updated_at",
            DEGRADED,
            "nursery_rhyme_data: found without lyrics, updated_at: its curriculum is off; run `flask db upgrade`.",
            id="columns of a curriculum",
        ),
        pytest.param(
            "backend",
            "DROP TABLE parent CASCADE",
            UNUSABLE,
            "parent: not found, or without id: no parent can sign in, nobody can edit.",
            id="no parent",
        ),
        pytest.param(
            "guide",
            "ALTER TABLE parent RENAME id TO parent_number",
            UNUSABLE,
            "parent: not found, or without id: no parent can sign in, nobody can edit.",
            id="parent without id",
        ),
        pytest.param(
            "backend",
            "DROP TABLE child CASCADE",
            DEGRADED,
            "child: not found, or without id: no child can sign in.",
            id="no child",
        ),
        pytest.param(
            "guide",
            "ALTER TABLE child DROP parent_id",
            DEGRADED,
            "child: found without parent_id: whose child it is cannot be checked.",
            id="child without parent_id",
        ),
        pytest.param(
            "guide",
            "DROP TABLE progress",
            FINE,
            "progress: no rows that name items: nothing keeps an item from being purged.",
            id="no progress",
        ),
    ],
)
def test_what_is_missing_is_told(shape: str, change: str, status: int, sentence: str, adopted: str, check: Any) -> None:
    run_sql(adopted, change)
    ended, lines = check(adopted)
    level = Level(status).name.lower()
    assert f"{level:9} {sentence}" in lines
    assert (ended, lines[-1]) == (status, f"Altogether: {level}.")


@on_guide
@pytest.mark.parametrize(
    ("editors", "status", "sentence"),
    [
        (
            "ada@example.org",
            DEGRADED,
            "degraded  parent: found without email: the e-mails in CONTENT_EDITORS name nobody.",
        ),
        (
            "7, ada@example.org",
            DEGRADED,
            "degraded  parent: found without email: the e-mails in CONTENT_EDITORS name nobody.",
        ),
        ("7", FINE, "fine      parent: found; read only."),
        ("", FINE, "fine      parent: found; read only."),
    ],
)
def test_a_parent_without_email_matters_where_editors_are_named_by_it(
    editors: str, status: int, sentence: str, adopted: str, check: Any
) -> None:
    run_sql(adopted, "ALTER TABLE parent DROP email")
    ended, lines = check(adopted, CONTENT_EDITORS=editors)
    assert sentence in lines
    assert ended == status


@on_guide
def test_e_mails_of_editors_are_fine_where_parents_have_one(adopted: str, check: Any) -> None:
    assert check(adopted, CONTENT_EDITORS="ada@example.org")[0] == FINE


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://nobody@127.0.0.1:1/nowhere", id="nobody listens"),
        pytest.param("postgresql://nobody:secret-word@/nowhere?host=/nonexistent", id="no socket"),
    ],
)
def test_a_database_that_is_away_is_told_in_one_line(url: str, check: Any) -> None:
    assert check(url) == (
        UNUSABLE,
        ["The database cannot be reached: check DATABASE_URL and that PostgreSQL runs."],
    )


@on_backend
def test_checking_writes_nothing(found: str, check: Any) -> None:
    count = "SELECT count(*), max(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    before = run_sql(found, count)
    check(found)
    assert run_sql(found, count) == before
