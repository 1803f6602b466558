"""Adopting a database that was found: every row and column stays, and what is added can be taken away again."""

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import flask_migrate
import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg2.extras import Json
from sqlalchemy import JSON, Boolean, DateTime, String, create_engine, delete, select, update
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from library_server.app import MIGRATIONS
from library_server.shared.schema import VERSION_TABLE
from tests.conftest import SCHEMAS, SECRET, Servers, bearer, make_child, make_parent, run_sql
from tests.migrations.databases import (
    LIBRARY_TABLES,
    ROWS,
    SHAPES,
    checksums,
    columns,
    fill,
    placement,
    structure,
)

on_guide = pytest.mark.parametrize("shape", ["guide"], indirect=True)
on_backend = pytest.mark.parametrize("shape", ["backend"], indirect=True)
on_both = pytest.mark.parametrize("shape", ["guide", "backend"], indirect=True)

BACKEND_ROW = {
    "content_type": "lesson",
    "subject_area": "math",
    "age_range": "6-8",
    "skill_objectives": ["counting"],
    "file_path": "audio/one.mp3",
    "download_priority": 2,
    "difficulty_level": "standard",
    "prerequisite_skills": None,
    "content_metadata": {"title": "Größe"},
    "active": True,
    "created_at": datetime(2026, 1, 5, 10),
    "updated_at": datetime(2026, 1, 5, 10),
}
GUIDE_ROW = BACKEND_ROW | {
    "title": "One",
    "description": "Counting",
    "usage_count": 0,
    "average_completion_time": 180,
    "success_rate": 91,
}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> str:
    """The starting database."""
    return str(request.param)


@pytest.fixture(scope="module")
def any_database(create_database: Callable[[str], str]) -> str:
    """The database that every test makes anew."""
    return create_database("empty")


@pytest.fixture
def database_url(shape: str, any_database: str) -> str:
    """A database of that shape as it was found: no migration has run."""
    run_sql(any_database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    if shape != "empty":
        run_sql(any_database, (SCHEMAS / f"{shape}.sql").read_text())
    return any_database


@pytest.fixture
def filled(database_url: str) -> str:
    """The same, with rows in every table."""
    fill(database_url)
    return database_url


def test_every_row_stays_with_every_value_it_had(filled: str, app: Flask) -> None:
    before = columns(filled)
    sums = checksums(filled, before)
    assert all(found["count"] == ROWS for found in sums.values())
    migrate(app)
    assert checksums(filled, before) == sums


def test_no_column_is_dropped_renamed_or_changed(filled: str, app: Flask) -> None:
    before = structure(filled)
    migrate(app)
    after = structure(filled)
    assert before["columns"] <= after["columns"]
    assert before["indexes"] <= after["indexes"]
    assert before["constraints"] <= after["constraints"]
    assert before["relations"] <= after["relations"]


def test_only_the_library_s_own_tables_gain_anything(database_url: str, app: Flask) -> None:
    before = structure(database_url)
    migrate(app)
    gained = {entry for kind, found in structure(database_url).items() for entry in found - before[kind]}
    found = {name for name, *_ in before["relations"]} - {*LIBRARY_TABLES}
    assert not [entry for entry in gained if entry[0] in found]


@on_both
def test_the_backend_s_other_tables_are_not_even_written_to(filled: str, app: Flask) -> None:
    others = [table for table in columns(filled) if table not in LIBRARY_TABLES]
    before = placement(filled, others)
    assert {"parent", "child", "progress", "system_analytics"} < {*others}
    migrate(app)
    assert placement(filled, others) == before


@on_guide
def test_extensions_that_are_elsewhere_are_done_without(database_url: str, app: Flask) -> None:
    made = "; ".join(f"CREATE EXTENSION {name} SCHEMA elsewhere" for name in ("pg_trgm", "fuzzystrmatch"))
    run_sql(database_url, f"CREATE SCHEMA elsewhere; {made}")
    try:
        migrate(app)
        assert columns(database_url)["library_word"]
    finally:
        run_sql(database_url, "DROP SCHEMA elsewhere CASCADE")


@on_guide
def test_a_complete_content_library_is_not_written_anew(filled: str, app: Flask) -> None:
    before = placement(filled, LIBRARY_TABLES)
    migrate(app)
    assert placement(filled, LIBRARY_TABLES) == before


@pytest.mark.parametrize("shape", ["empty"], indirect=True)
def test_an_empty_database_gets_the_library_s_tables_and_none_of_the_backend_s(database_url: str, app: Flask) -> None:
    migrate(app)
    made = columns(database_url).keys()
    assert {*LIBRARY_TABLES} <= made
    assert all(name.startswith("library_") for name in made - {*LIBRARY_TABLES})


@on_backend
def test_the_backend_s_rows_are_found_by_the_number_it_gave_them(filled: str, app: Flask) -> None:
    migrate(app)
    assert run_sql(filled, "SELECT count(*) FROM content_library WHERE id = content_id")[0]["count"] == ROWS


@on_backend
def test_the_backend_s_insert_names_only_its_columns_and_gets_content_id(database_url: str, app: Flask) -> None:
    migrate(app)
    insert = (
        f"INSERT INTO content_library ({', '.join(BACKEND_ROW)}) "
        f"VALUES ({', '.join(f'%({name})s' for name in BACKEND_ROW)}) RETURNING content_library.content_id"
    )
    made = [run_sql(database_url, insert, adapted(BACKEND_ROW))[0] for _ in range(2)]
    assert made == [{"content_id": 1}, {"content_id": 2}]
    assert run_sql(database_url, "INSERT INTO content_library VALUES (7, 'game', 'math', 'all') RETURNING content_id")


@on_backend
def test_the_backend_s_select_update_and_delete_work(filled: str, app: Flask) -> None:
    migrate(app)
    run_sql(filled, "UPDATE content_library SET subject_area = 'science', active = false WHERE content_id = 3")
    names = ", ".join(BACKEND_ROW)
    [row] = run_sql(filled, f"SELECT {names} FROM content_library WHERE content_id = 3")
    assert (row["subject_area"], row["active"]) == ("science", False)
    run_sql(filled, "UPDATE content_library SET content_id = 9000 WHERE content_id = 3")
    assert run_sql(filled, "SELECT id FROM content_library WHERE content_id = 9000") == [{"id": 9000}]
    run_sql(filled, "DELETE FROM content_library WHERE content_id = 9000")
    assert run_sql(filled, "SELECT count(*) FROM content_library")[0]["count"] == ROWS - 1


@on_backend
def test_the_backend_s_model_inserts_changes_and_deletes(database_url: str, app: Flask) -> None:
    migrate(app)
    with backend_session(database_url) as session:
        items = [BackendContent(**BACKEND_ROW | {"download_priority": number}) for number in range(1, 4)]
        session.add_all(items)
        session.commit()
        assert [item.content_id for item in items] == [1, 2, 3]
        session.execute(update(BackendContent).where(BackendContent.content_id == 2).values(active=False))
        session.execute(delete(BackendContent).where(BackendContent.content_id == 3))
        items[0].content_metadata = {"title": "changed"}
        session.commit()
        found = session.scalars(select(BackendContent).order_by(BackendContent.content_id)).all()
        assert [(item.content_id, item.active, item.content_metadata) for item in found] == [
            (1, True, {"title": "changed"}),
            (2, False, {"title": "Größe"}),
        ]


@on_backend
def test_an_item_that_the_backend_adds_later_is_served(
    database_url: str, app: Flask, client: FlaskClient, sql: Callable[..., Any]
) -> None:
    migrate(app)
    headers = bearer(id=make_parent(sql), type="parent")
    with backend_session(database_url) as session:
        session.add(BackendContent(content_type="game", subject_area="math", age_range="all"))
        session.commit()
    item = client.get("/content/1", headers=headers).json["content"]
    assert (item["content_id"], item["title"], item["active"], item["usage_count"]) == (1, "game 1", True, 0)


@on_guide
def test_the_guide_s_own_statements_work(filled: str, app: Flask) -> None:
    migrate(app)
    insert = (
        f"INSERT INTO content_library ({', '.join(GUIDE_ROW)}) "
        f"VALUES ({', '.join(f'%({name})s' for name in GUIDE_ROW)}) RETURNING content_library.id"
    )
    [row] = run_sql(filled, insert, adapted(GUIDE_ROW))
    assert row == {"id": ROWS + 1}
    run_sql(filled, "UPDATE content_library SET usage_count = usage_count + 1 WHERE id = %(id)s", row)
    run_sql(filled, "INSERT INTO progress (child_id, content_id) VALUES (1, %(id)s)", row)
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        run_sql(filled, "DELETE FROM content_library WHERE id = %(id)s", row)
    with pytest.raises(psycopg2.errors.NotNullViolation):
        run_sql(filled, "INSERT INTO content_library (content_type, subject_area, age_range) VALUES ('a', 'b', 'c')")


@on_both
def test_a_view_of_the_host_s_survives_upgrade_and_downgrade(database_url: str, app: Flask) -> None:
    run_sql(database_url, "CREATE VIEW shelf AS SELECT * FROM content_library WHERE active")
    before = structure(database_url)
    migrate(app)
    assert run_sql(database_url, "SELECT * FROM shelf") == []
    migrate(app, "downgrade")
    assert structure(database_url) == before


def test_every_route_of_the_catalogue_works(
    shape: str, filled: str, app: Flask, client: FlaskClient, sql: Callable[..., Any]
) -> None:
    migrate(app)
    if shape == "empty":
        people_of_the_backend(sql)
    parent = make_parent(sql)
    editor, child = bearer(user_id=parent, user_type="parent"), bearer(id=make_child(sql, parent), type="child")
    draft = {"content_type": "story", "subject_area": "math", "age_range": "all", "title": "New"}

    created = client.post("/content", json=draft, headers=editor)
    path = created.headers["Location"]
    assert created.status_code == 201
    assert created.json["content"]["content_id"] == (1 if shape == "empty" else ROWS + 1)
    assert client.get(path, headers=child).json["content"]["title"] == "New"
    assert client.put(path, json=draft | {"title": "Put"}, headers=editor).json["content"]["title"] == "Put"
    assert client.patch(path, json={"title": "Patched"}, headers=editor).json["content"]["title"] == "Patched"
    assert client.delete(path, headers=editor).json["message"] == "Content retired successfully"
    assert client.get(path, headers=editor).status_code == 404
    assert client.delete(f"{path}?purge=true", headers=editor).json["message"] == "Content deleted successfully"
    active, every = (client.get(f"/content?active={which}&per_page=50", headers=editor) for which in ("true", "all"))
    assert every.json["pagination"]["total"] == (0 if shape == "empty" else ROWS)
    assert active.status_code == 200
    for number in range(2, every.json["pagination"]["pages"] + 1):
        assert client.get(f"/content?active=all&per_page=50&page={number}", headers=editor).status_code == 200
    for facet in ("subjects", "age-ranges", "content-types"):
        assert client.get(f"/content/{facet}", headers=child).status_code == 200


@pytest.mark.parametrize("shape", ["empty"], indirect=True)
def test_without_the_backend_s_tables_nobody_exists(app: Flask, client: FlaskClient) -> None:
    migrate(app)
    for kind in ("parent", "child"):
        answer = client.get("/content", headers=bearer(user_id=1, user_type=kind))
        assert (answer.status_code, answer.json["message"]) == (401, "User not found")


def test_downgrading_gives_back_what_there_was(filled: str, app: Flask) -> None:
    before, sums = structure(filled), checksums(filled, columns(filled))
    migrate(app)
    assert structure(filled) != before
    migrate(app, "downgrade")
    assert structure(filled) == before
    assert checksums(filled, columns(filled)) == sums


def test_upgrading_works_again_after_a_downgrade(filled: str, app: Flask) -> None:
    migrate(app)
    once, sums = structure(filled), checksums(filled, columns(filled))
    migrate(app, "downgrade")
    migrate(app)
    assert structure(filled) == once
    assert checksums(filled, columns(filled)) == sums


def test_upgrading_twice_changes_nothing(filled: str, app: Flask) -> None:
    migrate(app)
    once, rows = physical(filled), placement(filled, columns(filled))
    migrate(app)
    assert physical(filled) == once
    assert placement(filled, columns(filled)) == rows


@on_backend
def test_two_processes_that_upgrade_at_once_both_succeed(database_url: str, servers: Servers, tmp_path: Path) -> None:
    with holding(database_url, f"SELECT pg_advisory_xact_lock({advisory_lock()})") as release:
        replicas = [flask_db_upgrade(database_url, servers, tmp_path / f"{number}.log") for number in range(2)]
        wait_until(lambda: waiting(database_url) == len(replicas))
        release()
    endings = [(replica.wait(30), Path(replica.args[-1]).read_text()) for replica in replicas]
    assert [status for status, _ in endings] == [0, 0], endings
    assert run_sql(database_url, f"SELECT count(*) FROM {VERSION_TABLE}")[0]["count"] == 1


@on_both
def test_the_host_s_own_alembic_version_is_not_disturbed(database_url: str, app: Flask) -> None:
    run_sql(database_url, "CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
    run_sql(database_url, "INSERT INTO alembic_version VALUES ('0001'), ('f00d')")
    before = placement(database_url, ["alembic_version"])
    for direction in ("upgrade", "downgrade", "upgrade"):
        migrate(app, direction)
        assert placement(database_url, ["alembic_version"]) == before


@on_guide
@pytest.mark.parametrize(
    "lacking",
    [
        pytest.param(["title", "description", "usage_count", "average_completion_time", "success_rate"], id="ours"),
        pytest.param(["active", "download_priority", "difficulty_level", "file_path"], id="what is indexed"),
        pytest.param(["skill_objectives", "prerequisite_skills", "content_metadata", "created_at"], id="json"),
    ],
)
def test_a_half_way_content_library_is_completed(
    lacking: list[str], filled: str, app: Flask, client: FlaskClient, sql: Callable[..., Any]
) -> None:
    whole = found_columns(filled)
    for column in lacking:
        sql(f"ALTER TABLE content_library DROP COLUMN {column}")
    before, sums = structure(filled), checksums(filled, columns(filled))
    migrate(app)
    assert found_columns(filled) == whole
    answer = client.get("/content", headers=bearer(user_id=make_parent(sql), user_type="parent"))
    assert len(answer.json["content"]) == 20
    sql("DELETE FROM parent WHERE email LIKE '%%@example.org'")
    migrate(app, "downgrade")
    assert structure(filled) == before
    assert checksums(filled, columns(filled)) == sums


@on_guide
def test_half_way_curriculum_tables_are_completed(filled: str, app: Flask) -> None:
    whole = found_columns(filled)
    run_sql(filled, "DROP TABLE nursery_rhyme_data; ALTER TABLE heggerty_curriculum_data DROP skill_focus")
    before = structure(filled)
    migrate(app)
    assert found_columns(filled) == whole
    assert run_sql(filled, "SELECT count(*) FROM heggerty_curriculum_data")[0]["count"] == ROWS
    migrate(app, "downgrade")
    assert structure(filled) == before


@on_guide
def test_a_column_of_another_type_than_ours_is_left_alone(
    database_url: str, app: Flask, client: FlaskClient, sql: Callable[..., Any]
) -> None:
    sql("ALTER TABLE content_library ALTER skill_objectives TYPE jsonb, ALTER title TYPE text, ALTER id TYPE bigint")
    before = structure(database_url)["columns"]
    migrate(app)
    assert before <= structure(database_url)["columns"]
    headers = bearer(user_id=make_parent(sql), user_type="parent")
    draft = {"content_type": "story", "subject_area": "math", "age_range": "all", "skill_objectives": ["rhyming"]}
    assert client.post("/content", json=draft, headers=headers).status_code == 201
    assert client.get("/content", headers=headers).json["content"][0]["skill_objectives"] == ["rhyming"]


def test_a_content_library_without_any_key_is_refused_and_left_as_it_is(
    shape: str, database_url: str, app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    if shape != "empty":
        run_sql(database_url, "DROP TABLE IF EXISTS progress; DROP TABLE content_library")
    run_sql(database_url, "CREATE TABLE content_library (number INTEGER PRIMARY KEY, content_type TEXT)")
    before = structure(database_url)
    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as ended:
        migrate(app)
    assert ended.value.code == 1
    assert "content_library has neither id nor content_id" in caplog.text
    assert structure(database_url) == before
    assert no_version_table(database_url)


def test_a_failure_at_the_last_step_leaves_nothing_behind(filled: str, app: Flask) -> None:
    run_sql(filled, "CREATE TABLE ix_library_file_path (id INTEGER PRIMARY KEY)")
    before, sums = structure(filled), checksums(filled, columns(filled))
    with pytest.raises(ProgrammingError, match="ix_library_file_path"):
        migrate(app)
    assert structure(filled) == before
    assert checksums(filled, columns(filled)) == sums
    assert no_version_table(filled)


@on_backend
def test_a_table_that_is_in_use_makes_the_upgrade_give_up_instead_of_stopping_the_backend(
    database_url: str, app: Flask, impatient: Path
) -> None:
    before = structure(database_url)
    with (
        holding(database_url, "SELECT FROM content_library", seconds=5),
        pytest.raises(OperationalError, match="lock timeout"),
    ):
        migrate(app, directory=impatient)
    assert structure(database_url) == before
    assert no_version_table(database_url)
    migrate(app, directory=impatient)


@on_backend
def test_an_upgrade_waits_for_another_however_long_that_takes(database_url: str, app: Flask, impatient: Path) -> None:
    with holding(database_url, f"SELECT pg_advisory_xact_lock({advisory_lock()})", seconds=1):
        migrate(app, directory=impatient)
    assert not no_version_table(database_url)


@pytest.mark.parametrize("shape", ["empty"], indirect=True)
def test_writing_the_sql_without_a_database_is_refused(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    with app.app_context(), pytest.raises(SystemExit):
        flask_migrate.upgrade(sql=True)
    assert "migrations look at the database they adopt; --sql is not possible" in caplog.text


class BackendBase(DeclarativeBase):
    pass


class BackendContent(BackendBase):
    """The backend's model of its table."""

    __tablename__ = "content_library"

    content_id: Mapped[int] = mapped_column(primary_key=True)
    content_type: Mapped[str] = mapped_column(String(50))
    subject_area: Mapped[str] = mapped_column(String(50))
    age_range: Mapped[str] = mapped_column(String(20))
    skill_objectives: Mapped[Any] = mapped_column(JSON, nullable=True)
    file_path: Mapped[str | None] = mapped_column(String(500))
    download_priority: Mapped[int | None] = mapped_column(default=5)
    difficulty_level: Mapped[str | None] = mapped_column(String(20), default="standard")
    prerequisite_skills: Mapped[Any] = mapped_column(JSON, nullable=True)
    content_metadata: Mapped[Any] = mapped_column(JSON, nullable=True)
    active: Mapped[bool | None] = mapped_column(Boolean, default=True)
    created_at: Mapped[datetime | None] = mapped_column(DateTime, default=datetime(2026, 1, 5))
    updated_at: Mapped[datetime | None] = mapped_column(DateTime, default=datetime(2026, 1, 5))


@pytest.fixture
def impatient(tmp_path: Path) -> Path:
    """The migrations, with a lock timeout that a test can sit out."""
    copy = shutil.copytree(MIGRATIONS, tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    environment = copy / "env.py"
    patient = environment.read_text()
    environment.write_text(patient.replace('LOCK_TIMEOUT = "10s"', 'LOCK_TIMEOUT = "200ms"'))
    assert environment.read_text() != patient
    return copy


def migrate(app: Flask, direction: str = "upgrade", directory: Path = MIGRATIONS) -> None:
    """`flask db upgrade`, or `flask db downgrade base`."""
    run, revision = {"upgrade": (flask_migrate.upgrade, "head"), "downgrade": (flask_migrate.downgrade, "base")}[
        direction
    ]
    with app.app_context():
        run(directory=str(directory), revision=revision)


def flask_db_upgrade(url: str, servers: Servers, log: Path) -> subprocess.Popen[bytes]:
    """The command in a process of its own, its words written to `log`."""
    settings = {"APP_ENV": "testing", "SECRET_KEY": SECRET, "DATABASE_URL": url, "REDIS_URL": servers.redis_url}
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
    with log.open("wb") as words:
        process = subprocess.Popen(
            command, cwd=MIGRATIONS.parent, env=os.environ | settings, stdout=words, stderr=subprocess.STDOUT
        )
    process.args = [*command, str(log)]
    return process


@contextmanager
def holding(url: str, statement: str, seconds: float = 30) -> Iterator[Callable[[], None]]:
    """Runs `statement` in a transaction that ends after so long, or before when what this gives is called."""
    connection = psycopg2.connect(url)
    timer = threading.Timer(seconds, connection.rollback)
    try:
        connection.cursor().execute(statement)
        timer.start()
        yield connection.rollback
    finally:
        timer.cancel()
        timer.join()
        connection.close()


def waiting(url: str) -> int:
    """How many connections to the database wait for a lock."""
    return int(
        run_sql(
            url,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )[0]["count"]
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def advisory_lock() -> int:
    """The number of the lock that migrations take, as the source has it."""
    line = next(line for line in (MIGRATIONS / "env.py").read_text().splitlines() if line.startswith("ADVISORY_LOCK"))
    return int(line.partition("=")[2])


@contextmanager
def backend_session(url: str) -> Iterator[Session]:
    """A session of the backend's."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    try:
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()


def adapted(row: dict[str, Any]) -> dict[str, Any]:
    """`row` as psycopg2 takes it."""
    return {name: Json(value) if isinstance(value, list | dict) else value for name, value in row.items()}


def physical(url: str) -> set[tuple[Any, ...]]:
    """Every relation, index and sequence with its number, its file and the transaction that wrote its entry last."""
    found = run_sql(
        url, "SELECT oid, relname, relfilenode, xmin::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    )
    return {tuple(row.values()) for row in found}


def found_columns(url: str) -> set[tuple[Any, ...]]:
    """The columns, with their types, of every table but those that are ours from the start."""
    return {column[:3] for column in structure(url)["columns"] if not column[0].startswith("library_")}


def no_version_table(url: str) -> bool:
    return run_sql(url, "SELECT to_regclass(%s) AS found", (VERSION_TABLE,)) == [{"found": None}]


def people_of_the_backend(sql: Callable[..., Any]) -> None:
    """The backend's two tables of people, made after the library's own."""
    sql(
        "CREATE TABLE parent (id SERIAL PRIMARY KEY, uuid TEXT, name TEXT, email TEXT, password_hash TEXT);"
        "CREATE TABLE child (id SERIAL PRIMARY KEY, uuid TEXT, parent_id INTEGER, name TEXT, age INTEGER)"
    )
