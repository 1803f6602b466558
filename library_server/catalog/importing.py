"""Bulk import: a CSV manifest of items, and the files that it names."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text

from library_server import storage
from library_server.catalog.schemas import ContentDraft
from library_server.catalog.services import item_changed
from library_server.errors import InvalidInput
from library_server.extensions import db
from library_server.lib import json
from library_server.lib.clock import utc_now
from library_server.storage.base import FileMissing, PathTaken
from library_server.storage.local import LocalStorage
from library_server.web.inputs import from_object

# A row is known again by these, so that a manifest can be imported twice.
KEY = ("content_type", "subject_area", "age_range", "title")
COLUMNS = tuple(ContentDraft.model_fields)
BATCH_ROWS = 5_000
ADVISORY_LOCK = 7_305_801_143  # two imports at once take turns
_LARGEST_CELL = 16 * 1024 * 1024  # characters; the schema then says what is too long
_JSON_COLUMNS = ("skill_objectives", "prerequisite_skills", "content_metadata")
_MATCH = " AND ".join(f"coalesce(old.{name}, '') = new.{name}" for name in KEY)


class ManifestError(Exception):
    """The manifest as a whole cannot be read; the message says why."""


@dataclass
class Report:
    """What an import did, or with `dry_run` would do. `problems`: line number and sentence of each bad row."""

    rows: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    files: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """A good row: where it stands (line of the manifest, from 1) and its columns."""

    line: int
    values: dict[str, Any]


def import_manifest(
    manifest: Path,
    files: Path | None = None,
    *,
    update: bool = False,
    dry_run: bool = False,
    progress: Callable[[int], object] = lambda lines: None,
) -> Report:
    """Imports the good rows of `manifest` in one transaction, and reports the bad ones.

    A row whose type, subject, age range and title are in the library already is left as it is there, or with `update`
    made what the manifest says. `files` is the folder that ``file_path`` is relative to; its files are copied into the
    content folder. `progress` is called with the number of lines read since. Time and statements grow with the rows;
    memory holds one batch and every row's key. Raises ManifestError.
    """
    report = Report()
    copied: list[str] = []
    connection = db.session.connection()
    try:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
        with db.session.begin_nested():  # a statement that fails ends this savepoint, and not our turn
            connection.execute(text(f"CREATE TEMP TABLE library_import ({_staging_columns()}) ON COMMIT DROP"))
            with manifest.open(encoding="utf-8-sig", newline="") as lines:
                header, rows = _read(lines, report, progress)
                for batch in _batches(row for row in rows if _bring_file(row, files, dry_run, copied, report)):
                    _stage(batch)
            _merge(header, update, report)
        if dry_run:
            db.session.rollback()
        else:
            db.session.commit()
    except BaseException as error:
        for path in copied:  # before our turn ends: the next import may want the same files
            storage.content().remove(path)
        db.session.rollback()
        if isinstance(error, UnicodeDecodeError | csv.Error):
            raise ManifestError(f"the manifest is not CSV in UTF-8: {error}") from None
        raise
    if not dry_run and (report.added or report.updated):
        item_changed.send(item_id=None)
    return report


def _read(lines: io.TextIOBase, report: Report, progress: Callable[[int], object]) -> tuple[list[str], Iterator[Row]]:
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name in KEY if name not in header]
    if unknown or missing or len(set(header)) != len(header):
        wrong = (
            f"unknown: {', '.join(unknown)}" if unknown else f"missing: {', '.join(missing)}" if missing else "twice"
        )
        raise ManifestError(f"the first line must name the columns ({wrong}); known are {', '.join(COLUMNS)}")
    return header, _rows(reader, header, report, progress)


def _rows(reader: Any, header: list[str], report: Report, progress: Callable[[int], object]) -> Iterator[Row]:
    seen: dict[tuple[str, ...], int] = {}
    while True:
        before = reader.line_num
        cells = next(reader, None)
        progress(reader.line_num - before)
        if cells is None:
            return
        if not cells:
            continue
        line = before + 1
        report.rows += 1
        try:
            values = _parse(header, cells)
        except InvalidInput as error:
            report.problems.append((line, error.message))
            continue
        key = tuple(values[name] for name in KEY)
        if seen.setdefault(key, line) != line:
            report.problems.append((line, f"the same item as line {seen[key]} (type, subject, age range and title)"))
            continue
        yield Row(line, values)


def _parse(header: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(header):
        raise InvalidInput(f"has {len(cells)} cells, the first line has {len(header)}")
    if "\0" in "".join(cells):
        raise InvalidInput("must not contain NUL")
    given = {name: _cell(name, cell.strip()) for name, cell in zip(header, cells, strict=True) if cell.strip()}
    if "title" not in given:
        raise InvalidInput("Missing required fields: title")
    return from_object(ContentDraft, given).values()


def _cell(name: str, cell: str) -> Any:
    if name in _JSON_COLUMNS:
        if cell[0] not in "[{" and name != "content_metadata":
            return [word.strip() for word in cell.split(";") if word.strip()]
        try:
            return json.decode(cell.encode(errors="surrogatepass"))
        except json.NotJson as error:
            raise InvalidInput(f"{name} is not JSON: {error}") from None
    if name == "download_priority" and cell.isascii() and cell.isdigit():
        return int(cell[:6])
    if name == "active":
        return {"true": True, "false": False}.get(cell.lower(), cell)
    return cell


def _bring_file(row: Row, files: Path | None, dry_run: bool, copied: list[str], report: Report) -> bool:
    """Copies the row's file; False, and a problem noted, when there is none to copy or another file has its path."""
    path = row.values["file_path"]
    if files is None or path is None:
        return True
    try:
        LocalStorage(files).stat(path)
    except FileMissing:
        report.problems.append((row.line, f"file_path: there is no file {path} in the folder of files"))
        return False
    try:
        if dry_run:
            storage.content().fits(path, files / path)
        elif storage.content().put(path, files / path):
            copied.append(path)
            report.files += 1
    except FileMissing:
        report.problems.append((row.line, f"file_path: {path} leaves the content folder by a symbolic link"))
        return False
    except PathTaken:
        report.problems.append((row.line, f"file_path: another file is {path} in the content folder already"))
        return False
    return True


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _staging_columns() -> str:
    return ", ".join(["line integer", *(f"{name} {_type(name)}" for name in COLUMNS)])


def _type(name: str) -> str:
    if name in _JSON_COLUMNS:
        return "json"
    return {"download_priority": "integer", "active": "boolean"}.get(name, "text")


def _stage(batch: Sequence[Row]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in batch:
        told = {name: json.encode(row.values[name]).decode() for name in _JSON_COLUMNS}
        writer.writerow([row.line, *(row.values | told).values()])
    buffer.seek(0)
    cursor = db.session.connection().connection.cursor()
    cursor.copy_expert(f"COPY library_import (line, {', '.join(COLUMNS)}) FROM STDIN (FORMAT csv)", buffer)


def _merge(header: list[str], update: bool, report: Report) -> None:
    connection = db.session.connection()
    now = {"now": utc_now()}
    columns = ", ".join(COLUMNS)
    if update:
        changed = [name for name in header if name not in KEY]
        differs = " OR ".join(_differs(name) for name in changed) or "false"
        settings = ", ".join([*(f"{name} = new.{name}" for name in changed), "updated_at = :now"])
        statement = (
            f"WITH changed AS (UPDATE content_library old SET {settings} FROM library_import new "
            f"WHERE {_MATCH} AND ({differs}) RETURNING new.line) SELECT count(DISTINCT line) FROM changed"
        )
        report.updated = connection.execute(text(statement), now).scalar_one()
    statement = (
        f"INSERT INTO content_library ({columns}, usage_count, created_at, updated_at) "
        f"SELECT {columns}, 0, :now, :now FROM library_import new "
        f"WHERE NOT EXISTS (SELECT FROM content_library old WHERE {_MATCH}) ORDER BY line"
    )
    report.added = connection.execute(text(statement), now).rowcount
    staged = connection.execute(text("SELECT count(*) FROM library_import")).scalar_one()
    report.unchanged = staged - report.added - report.updated


def _differs(name: str) -> str:
    if name not in _JSON_COLUMNS:
        return f"old.{name} IS DISTINCT FROM new.{name}"
    # jsonb knows equal values in another spelling, but takes no NUL and no half surrogate pair, which json may hold
    unusual = f"old.{name}::text ~* '\\\\u(0000|d[89a-f])'"
    return (
        f"CASE WHEN {unusual} THEN old.{name}::text IS DISTINCT FROM new.{name}::text "
        f"ELSE old.{name}::jsonb IS DISTINCT FROM new.{name}::jsonb END"
    )
