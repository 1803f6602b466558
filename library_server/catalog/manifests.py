"""Manifests: CSV files of rows for a table, read line by line."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import JSON, Boolean, Integer, inspect

from library_server.errors import InvalidInput
from library_server.extensions import Base
from library_server.lib import json

_LARGEST_CELL = 16 * 1024 * 1024  # characters; the schema then says what is too long
_MOST_DIGITS = 18  # beyond every column


class ManifestError(Exception):
    """The manifest as a whole cannot be read; the message says why."""


@dataclass(frozen=True)
class Table:
    """A table that manifests fill. A row is known again by `key`, so that a manifest can be imported twice.

    `parse` makes the values of all columns, in their order, of what a row names, or raises InvalidInput; `changed`
    tells whoever keeps copies.
    """

    model: type[Base]
    columns: tuple[str, ...]
    key: tuple[str, ...]
    noun: str
    known_by: str  # the key in words
    parse: Callable[[dict[str, Any]], dict[str, Any]]
    changed: Callable[[], object]
    words: tuple[str, ...] = ()  # JSON columns that may be written as words between semicolons
    file: str = ""  # the column, if any, that names a file of the content folder
    starts_with: Mapping[str, int] = field(default_factory=dict)  # further columns of a new row

    @cached_property
    def types(self) -> Mapping[str, str]:
        """Of each column: ``json``, ``integer``, ``boolean`` or ``text``."""
        known = {JSON: "json", Integer: "integer", Boolean: "boolean"}
        kinds = {name: inspect(self.model).columns[name].type for name in self.columns}
        return {
            name: next((told for python, told in known.items() if isinstance(kind, python)), "text")
            for name, kind in kinds.items()
        }

    @cached_property
    def json_columns(self) -> tuple[str, ...]:
        """The columns that hold JSON."""
        return tuple(name for name in self.columns if self.types[name] == "json")


class Change(NamedTuple):
    """A column that would change, and the first characters of what it has and would have; None is nothing."""

    column: str
    old: str | None
    new: str | None


class Difference(NamedTuple):
    """A row of the manifest (its line, its key) that would be added or, where there are `changes`, changed."""

    line: int
    key: tuple[Any, ...]
    changes: tuple[Change, ...]


@dataclass
class Report:
    """What an import did, or with `dry_run` would do.

    `problems`: line number and sentence of each bad row. `differences`: of a dry run, the first of them.
    """

    rows: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    files: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list, compare=False)


@dataclass(frozen=True)
class Row:
    """A good row: where it stands (line of the manifest, from 1) and its columns."""

    line: int
    values: dict[str, Any]


def read(
    table: Table, lines: io.TextIOBase, report: Report, progress: Callable[[int], object]
) -> tuple[list[str], Iterator[Row]]:
    """The columns that the manifest names, and its good rows; `report` learns of the bad ones. Raises ManifestError."""
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    unknown = [name for name in header if name not in table.columns]
    missing = [name for name in table.key if name not in header]
    if unknown or missing or len(set(header)) != len(header):
        wrong = (
            f"unknown: {', '.join(unknown)}" if unknown else f"missing: {', '.join(missing)}" if missing else "twice"
        )
        known = ", ".join(table.columns)
        raise ManifestError(f"the first line must name the columns ({wrong}); known are {known}")
    return header, _rows(table, reader, header, report, progress)


def _rows(
    table: Table, reader: Any, header: list[str], report: Report, progress: Callable[[int], object]
) -> Iterator[Row]:
    seen: dict[tuple[Any, ...], int] = {}
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
            values = _parse(table, header, cells)
        except InvalidInput as error:
            report.problems.append((line, error.message))
            continue
        key = tuple(values[name] for name in table.key)
        if seen.setdefault(key, line) != line:
            report.problems.append((line, f"the same {table.noun} as line {seen[key]} ({table.known_by})"))
            continue
        yield Row(line, values)


def _parse(table: Table, header: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(header):
        raise InvalidInput(f"has {len(cells)} cells, the first line has {len(header)}")
    if "\0" in "".join(cells):
        raise InvalidInput("must not contain NUL")
    told = zip(header, map(str.strip, cells), strict=True)
    given = {name: _cell(table, name, cell) for name, cell in told if cell}
    if missing := [name for name in table.key if name not in given]:
        raise InvalidInput(f"Missing required fields: {', '.join(missing)}")
    return table.parse(given)


def _cell(table: Table, name: str, cell: str) -> Any:
    kind = table.types[name]
    if kind == "text":
        return cell
    if kind == "json":
        if cell[0] not in "[{" and name in table.words:
            return [word.strip() for word in cell.split(";") if word.strip()]
        try:
            return json.decode(cell.encode(errors="surrogatepass"))
        except json.NotJson as error:
            raise InvalidInput(f"{name} is not JSON: {error}") from None
    if kind == "integer" and cell.isascii() and cell.isdigit():
        return int(cell[:_MOST_DIGITS])
    if kind == "boolean":
        return {"true": True, "false": False}.get(cell.lower(), cell)
    return cell
