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
from library_server.catalog import staging
from library_server.catalog.manifests import ManifestError, Report, Row, Table, read
from library_server.catalog.models import ContentItem
from library_server.catalog.schemas import ContentDraft
from library_server.catalog.services import IMPORT_LOCK, item_changed, remove_unused
from library_server.extensions import db
from library_server.lib import json
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
MAX_DIFFERENCES = 100
BATCH_ROWS = 10_000  # each is looked up among all that is there


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
            staging.create(connection, table)
            with manifest.open(encoding="utf-8-sig", newline="") as lines:
                header, rows = read(table, lines, report, progress)
                changeable = [name for name in header if update and name not in table.key]
                good = (row for row in rows if _bring_file(table, row, files, dry_run, copied, report))
                _take_while_reading(
                    _batches(table, good),
                    partial(staging.fill, connection, table),
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
    db.session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": IMPORT_LOCK})


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


def _take(
    connection: Connection, table: Table, changeable: Sequence[str], dry_run: bool, report: Report, staged: int
) -> None:
    """Brings what is staged into the table. Nobody else uses the connection meanwhile."""
    if dry_run:
        report.differences.extend(
            staging.compare(connection, table, changeable, MAX_DIFFERENCES - len(report.differences))
        )
    staging.merge(connection, table, changeable, staged, report)
