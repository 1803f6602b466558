"""The table that an import's rows wait in, and how PostgreSQL brings them from there into the table they are for."""

import io
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, text

from library_server.catalog.manifests import Change, Difference, Report, Table
from library_server.lib.clock import utc_now

TIMES = ("created_at", "updated_at")
SHOWN = 60  # characters of a value that would change


def create(connection: Connection, table: Table) -> None:
    """Makes it, empty, for this transaction."""
    columns = ", ".join(["line integer", *(f"{name} {table.types[name]}" for name in table.columns)])
    connection.execute(text(f"CREATE TEMP TABLE library_import ({columns}) ON COMMIT DROP"))


def fill(connection: Connection, table: Table, lines: io.StringIO) -> None:
    """Puts these rows, CSV of a line's number and its columns, in the place of what it held."""
    connection.execute(text("TRUNCATE library_import"))
    cursor = connection.connection.cursor()
    cursor.copy_expert(f"COPY library_import (line, {', '.join(table.columns)}) FROM STDIN (FORMAT csv)", lines)
    connection.execute(text(f"ANALYZE library_import ({', '.join(table.key)})"))


def compare(connection: Connection, table: Table, changeable: Sequence[str], most: int) -> Iterator[Difference]:
    """What `merge` will do, in the order of the manifest, up to `most`."""
    keys = ", ".join(f"new.{name}" for name in table.key)
    differs = {name: _differs(table, name) for name in changeable}
    changes = ", ".join(
        f"CASE WHEN bool_or({differ}) THEN json_build_array('{name}', {_begins('old', name, differ)}, "
        f"{_begins('new', name, differ)}) END"
        for name, differ in differs.items()
    )
    statement = (
        f"SELECT line, key, is_new, changes FROM (SELECT new.line, ARRAY[{keys}]::text[] AS key, "
        f"bool_and(old.id IS NULL) AS is_new, json_build_array({changes}) AS changes, "
        f"bool_or({' OR '.join([*differs.values(), 'false'])}) AS differs "
        f"FROM library_import new LEFT JOIN {_name(table)} old ON {_match(table)} GROUP BY new.line, {keys}) AS rows "
        "WHERE is_new OR differs ORDER BY line LIMIT :most"
    )
    for line, key, is_new, changed in connection.execute(text(statement), {"most": most}):
        yield Difference(line, tuple(key), () if is_new else tuple(Change(*each) for each in changed if each))


def merge(connection: Connection, table: Table, changeable: Sequence[str], staged: int, report: Report) -> None:
    """Adds what is new, changes the `changeable` columns of what is there, and counts both of the `staged` rows."""
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


def _begins(row: str, name: str, differs: str) -> str:
    """How the column begins where it differs; of several rows with the same key, one."""
    return f"min(left({row}.{name}::text, {SHOWN})) FILTER (WHERE {differs})"


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
