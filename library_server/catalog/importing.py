"""Bulk import: the rows of a manifest, and the files that it names."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from library_server import storage
from library_server.catalog.manifests import Difference, ManifestError, Report, Row, Table, read
from library_server.catalog.models import ContentItem
from library_server.catalog.schemas import ContentDraft
from library_server.catalog.services import item_changed, remove_unused
from library_server.extensions import db
from library_server.lib import json
from library_server.lib.clock import utc_now
from library_server.storage.base import FileMissing, PathTaken
from library_server.storage.local import LocalStorage
from library_server.web.inputs import from_object

ITEMS = Table(
    model=ContentItem,
    columns=tuple(ContentDraft.model_fields),
    key=("content_type", "subject_area", "age_range", "title"),
    noun="item",
    known_by="type, subject, age range and title",
    parse=lambda given: from_object(ContentDraft, given).values(),
    changed=partial(item_changed.send, item_id=None),
    words=("skill_objectives", "prerequisite_skills"),
    file="file_path",
    starts_with={"usage_count": 0},
)
TIMES = ("created_at", "updated_at")
MAX_DIFFERENCES = 100
BATCH_ROWS = 10_000  # each is looked up among all that is there
ADVISORY_LOCK = 7_305_801_143  # two imports at once take turns


class Batch(NamedTuple):
    """Rows as COPY takes them, and how many."""

    lines: io.StringIO
    rows: int


def import_manifest(
    manifest: Path,
    files: Path | None = None,
    *,
    table: Table = ITEMS,
    update: bool = False,
    dry_run: bool = False,
    progress: Callable[[int], object] = lambda lines: None,
) -> Report:
    """Imports the good rows of `manifest` in one transaction, and reports the bad ones.

    A row whose key is in the table already is left as it is there, or with `update` made what the manifest says.
    `files` is the folder that the table's column of paths is relative to; its files are copied into the content folder.
    With `dry_run` nothing is done, and the report has the first differences. `progress` is called with the number of
    lines read since. Time and statements grow with the rows; memory holds two batches and every row's key. Raises
    ManifestError.
    """
    report = Report()
    copied: list[str] = []
    connection = db.session.connection()
    try:
        _take_turn()
        # PostgreSQL may take the table for as small as it was before, and would compare each row with each.
        connection.execute(text("SET LOCAL enable_nestloop = off; SET LOCAL jit = off"))
        with connection.begin_nested():  # a statement that fails ends this savepoint, and not our turn
            _create_staging(connection, table)
            with manifest.open(encoding="utf-8-sig", newline="") as lines:
                header, rows = read(table, lines, report, progress)
                changeable = [name for name in header if update and name not in table.key]
                good = (row for row in rows if _bring_file(table, row, files, dry_run, copied, report))
                _take_while_reading(
                    _batches(table, good),
                    partial(_stage, connection, table),
                    partial(_take, connection, table, changeable, dry_run, report),
                )
        if dry_run:
            db.session.rollback()
        else:
            db.session.commit()
    except BaseException as error:
        _take_back(copied)
        if isinstance(error, UnicodeDecodeError | csv.Error):
            raise ManifestError(f"the manifest is not CSV in UTF-8: {error}") from None
        raise
    if not dry_run and (report.added or report.updated):
        table.changed()
    return report


def _take_back(copied: Iterable[str]) -> None:
    """Removes the files that a failed import brought, but for those that somebody has come to use."""
    db.session.rollback()
    try:
        _take_turn()  # the next import may want the same files
        for path in copied:
            remove_unused(path)
        db.session.commit()
    except DBAPIError:  # nobody can tell: `flask library sweep` reports files without items
        db.session.rollback()


def _take_turn() -> None:
    """Until the transaction ends, no other import is at work."""
    db.session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})


def _bring_file(table: Table, row: Row, files: Path | None, dry_run: bool, copied: list[str], report: Report) -> bool:
    """Copies the row's file; False, and a problem noted, when there is none to copy or another file has its path."""
    path = row.values.get(table.file)
    if files is None or path is None:
        return True
    try:
        LocalStorage(files).stat(path)
    except FileMissing:
        report.problems.append((row.line, f"{table.file}: there is no file {path} in the folder of files"))
        return False
    try:
        if dry_run:
            storage.content().fits(path, files / path)
        elif storage.content().put(path, files / path):
            copied.append(path)
            report.files += 1
    except FileMissing:
        report.problems.append((row.line, f"{table.file}: {path} leaves the content folder by a symbolic link"))
        return False
    except PathTaken:
        report.problems.append((row.line, f"{table.file}: another file is {path} in the content folder already"))
        return False
    return True


def _batches(table: Table, rows: Iterator[Row]) -> Iterator[Batch]:
    while True:
        lines, count = io.StringIO(), 0
        writer = csv.writer(lines)
        for row in islice(rows, BATCH_ROWS):  # none of which is kept: garbage collection would look at each again
            told = {
                name: json.encode(row.values[name]).decode()
                for name in table.json_columns
                if row.values[name] is not None
            }
            writer.writerow([row.line, *(row.values | told).values()])
            count += 1
        if not count:
            return
        lines.seek(0)
        yield Batch(lines, count)


def _take_while_reading(
    batches: Iterable[Batch], stage: Callable[[io.StringIO], None], take: Callable[[int], None]
) -> None:
    """Stages one batch after the other, and takes it in a thread, which waits for PostgreSQL while the next is read."""
    with ThreadPoolExecutor(1) as thread:
        taking: Future[None] | None = None
        for batch in batches:
            if taking is not None:
                taking.result()
            stage(batch.lines)
            taking = thread.submit(take, batch.rows)
        if taking is not None:
            taking.result()


def _stage(connection: Connection, table: Table, lines: io.StringIO) -> None:
    connection.execute(text("TRUNCATE library_import"))
    cursor = connection.connection.cursor()
    cursor.copy_expert(f"COPY library_import (line, {', '.join(table.columns)}) FROM STDIN (FORMAT csv)", lines)
    connection.execute(text(f"ANALYZE library_import ({', '.join(table.key)})"))


def _take(
    connection: Connection, table: Table, changeable: Sequence[str], dry_run: bool, report: Report, staged: int
) -> None:
    """Brings what is staged into the table. Nobody else uses the connection meanwhile."""
    if dry_run:
        report.differences.extend(_compare(connection, table, changeable, MAX_DIFFERENCES - len(report.differences)))
    _merge(connection, table, changeable, staged, report)


def _create_staging(connection: Connection, table: Table) -> None:
    columns = ", ".join(["line integer", *(f"{name} {table.types[name]}" for name in table.columns)])
    connection.execute(text(f"CREATE TEMP TABLE library_import ({columns}) ON COMMIT DROP"))


def _compare(connection: Connection, table: Table, changeable: Sequence[str], most: int) -> Iterator[Difference]:
    """What `_merge` will do, in the order of the manifest, up to `most`."""
    keys = ", ".join(f"new.{name}" for name in table.key)
    names = ", ".join(f"CASE WHEN bool_or({_differs(table, name)}) THEN '{name}' END" for name in changeable)
    statement = (
        f"SELECT * FROM (SELECT new.line, ARRAY[{keys}]::text[] AS key, bool_and(old.id IS NULL) AS is_new, "
        f"array_remove(ARRAY[{names}]::text[], NULL) AS columns "
        f"FROM library_import new LEFT JOIN {_name(table)} old ON {_match(table)} GROUP BY new.line, {keys}) AS rows "
        "WHERE is_new OR columns <> '{}' ORDER BY line LIMIT :most"
    )
    for line, key, is_new, columns in connection.execute(text(statement), {"most": most}):
        yield Difference(line, tuple(key), () if is_new else tuple(columns))


def _merge(connection: Connection, table: Table, changeable: Sequence[str], staged: int, report: Report) -> None:
    now, updated = {"now": utc_now()}, 0
    if changeable:
        differs = " OR ".join(_differs(table, name) for name in changeable)
        settings = ", ".join([*(f"{name} = new.{name}" for name in changeable), "updated_at = :now"])
        statement = (
            f"WITH changed AS (UPDATE {_name(table)} old SET {settings} FROM library_import new "
            f"WHERE {_match(table)} AND ({differs}) RETURNING new.line) SELECT count(DISTINCT line) FROM changed"
        )
        updated = connection.execute(text(statement), now).scalar_one()
    columns = ", ".join(table.columns)
    starts = {name: str(value) for name, value in table.starts_with.items()} | dict.fromkeys(TIMES, ":now")
    statement = (
        f"INSERT INTO {_name(table)} ({columns}, {', '.join(starts)}) "
        f"SELECT {columns}, {', '.join(starts.values())} FROM library_import new "
        f"WHERE NOT EXISTS (SELECT FROM {_name(table)} old WHERE {_match(table)}) ORDER BY line"
    )
    added = connection.execute(text(statement), now).rowcount
    report.added += added
    report.updated += updated
    report.unchanged += staged - added - updated


def _name(table: Table) -> str:
    return table.model.__tablename__


def _match(table: Table) -> str:
    """That `old` is the row which `new` is: a missing text counts as empty."""
    texts = [name for name in table.key if table.types[name] == "text"]
    return " AND ".join(
        f"coalesce(old.{name}, '') = new.{name}" if name in texts else f"old.{name} = new.{name}" for name in table.key
    )


def _differs(table: Table, name: str) -> str:
    if table.types[name] != "json":
        return f"old.{name} IS DISTINCT FROM new.{name}"
    # jsonb knows equal values in another spelling, but takes no NUL and no half surrogate pair, which json may hold
    unusual = f"old.{name}::text ~* '\\\\u(0000|d[89a-f])'"
    return (
        f"CASE WHEN {unusual} THEN old.{name}::text IS DISTINCT FROM new.{name}::text "
        f"ELSE old.{name}::jsonb IS DISTINCT FROM new.{name}::jsonb END"
    )
