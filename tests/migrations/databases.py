"""What the migrations' tests need of a database: rows in every table, what they add up to, and its structure."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extras import RealDictCursor

from library_server.shared.schema import VERSION_TABLE
from tests.conftest import run_sql

SHAPES = ("empty", "guide", "backend")
LIBRARY_TABLES = ("content_library", "heggerty_curriculum_data", "nursery_rhyme_data", "multi_subject_curriculum")
ROWS = 200

ODD_TEXTS = (
    "",
    " ",
    "Größe",
    "日本語",
    "👩‍👧 🕷️",
    "e\u0301",
    "\u202eright to left",
    'it\'s "quoted"',
    "a\\b",
    "line\nbreak\r\n",
)
ODD_JSON = (
    "null",
    "[]",
    "{}",
    '""',
    '"only text"',
    "-0.0",
    "12345678901234567890.123456789",
    '{"b": 1,   "a": 2}',
    '{"twice": 1, "twice": 2}',
    '["rhyming", null, {"deep": [[[]]]}]',
    '{"title": ["no", "text"]}',
    '{"escape": "\\u0000", "half": "\\ud83d"}',
    '{"emoji": "🕷️", "": "empty"}\n',
)

_IN_PUBLIC = f"relnamespace = 'public'::regnamespace AND relname NOT LIKE '{VERSION_TABLE}%'"
_STRUCTURE = {
    "relations": f"""
        SELECT relname, relkind, obj_description(oid, 'pg_class') FROM pg_class WHERE {_IN_PUBLIC}""",
    "columns": f"""
        SELECT relname, attname, format_type(atttypid, atttypmod) AS type, attnotnull, attidentity, attgenerated,
               attcollation, pg_get_expr(adbin, adrelid) AS value, col_description(attrelid, attnum)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped AND {_IN_PUBLIC}""",
    "indexes": f"""
        SELECT tablename, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> '{VERSION_TABLE}'""",
    "constraints": f"""
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> coalesce(to_regclass('{VERSION_TABLE}'), 0::oid)""",
    "triggers": "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal",
}


# Every column that a row is made of, tables in the order in which they were made, which is that of their references.
_FILLABLE = f"""
    SELECT relname AS table, attname AS name, typname AS type, attnotnull AS required, atttypmod - 4 AS length,
           EXISTS (SELECT FROM pg_index WHERE indrelid = attrelid AND attnum = ANY (indkey) AND indisunique) AS single,
           EXISTS (SELECT FROM pg_constraint
                   WHERE conrelid = attrelid AND attnum = ANY (conkey) AND contype = 'f') AS reference
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN pg_type ON pg_type.oid = atttypid
    WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped AND {_IN_PUBLIC}
      AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = attrelid AND attnum = ANY (indkey) AND indisprimary)
    ORDER BY pg_class.oid, attnum"""


def structure(url: str) -> dict[str, set[tuple[Any, ...]]]:
    """Relations, columns, indexes, constraints and triggers, each as they are described, but for our version table."""
    with _asking(url) as ask:
        return {name: {tuple(row.values()) for row in ask(query)} for name, query in _STRUCTURE.items()}


def columns(url: str) -> dict[str, list[str]]:
    """The names of every table's columns."""
    found: dict[str, list[str]] = {}
    for table, column, *_ in sorted(structure(url)["columns"]):
        found.setdefault(table, []).append(column)
    return found


def checksums(url: str, of: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """For every table its number of rows, and a checksum of each of the columns `of` it."""
    keys = _primary_keys(url)
    with _asking(url) as ask:
        return {table: ask(_checksum(table, names, keys[table]))[0] for table, names in of.items()}


def _checksum(table: str, names: Iterable[str], key: str) -> str:
    sums = (
        f"""md5(string_agg(coalesce(md5("{name}"::text), 'NULL'), ',' ORDER BY "{key}")) AS "{name}" """
        for name in names
    )
    return f"SELECT count(*), {', '.join(sums)} FROM {table}"


def placement(url: str, tables: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Where and by whom every row was written: an UPDATE, or a table written anew, changes it."""
    with _asking(url) as ask:
        return {table: ask(_placement(table)) for table in tables}


def _placement(table: str) -> str:
    return f"SELECT pg_relation_filenode('{table}') AS file, ctid::text, xmin::text, xmax::text FROM {table} ORDER BY 2"


def _primary_keys(url: str) -> dict[str, str]:
    found = run_sql(
        url,
        "SELECT indrelid::regclass::text AS name, attname FROM pg_index "
        "JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey) WHERE indisprimary",
    )
    return {row["name"]: row["attname"] for row in found}


def fill(url: str) -> None:
    """Puts ROWS rows into every table: missing values, alphabets and odd JSON in every column that allows them."""
    chance = random.Random(20)
    tables: dict[str, list[dict[str, Any]]] = {}
    for column in run_sql(url, _FILLABLE):
        tables.setdefault(column["table"], []).append(column)
    with _asking(url) as ask:
        for table, described in tables.items():
            names = ", ".join(f'"{column["name"]}"' for column in described)
            rows = [tuple(_value(chance, column, number) for column in described) for number in range(ROWS)]
            template = f"({', '.join(['%s'] * len(described))})"
            ask(
                f"INSERT INTO {table} ({names}) VALUES {', '.join([template] * ROWS)}",
                [value for row in rows for value in row],
            )


@contextmanager
def _asking(url: str) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """`run_sql` on one connection, in one transaction."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:

            def ask(statement: str, parameters: Any = None) -> list[dict[str, Any]]:
                cursor.execute(statement, parameters)
                return [dict(row) for row in cursor.fetchall()] if cursor.description else []

            yield ask
    finally:
        connection.close()


def _value(chance: random.Random, column: dict[str, Any], number: int) -> object:
    if not column["required"] and chance.random() < 0.3:
        return None
    if column["reference"]:
        return chance.randint(1, ROWS)
    if column["single"]:
        return f"{column['name']} {number}"
    match column["type"]:
        case "varchar":
            return chance.choice([*ODD_TEXTS, "x" * column["length"]])[: column["length"]]
        case "text":
            return chance.choice(ODD_TEXTS) * 50
        case "json":
            return chance.choice(ODD_JSON)
        case "int4":
            return chance.choice([0, -1, 2**31 - 1, -(2**31), chance.randint(1, 100)])
        case "float8":
            return chance.choice([0.1, -0.0, 1e308, float("nan"), float("inf"), chance.random()])
        case "bool":
            return chance.random() < 0.5
        case "timestamp":
            return chance.choice(["infinity", "0001-01-01", "2026-01-05 10:00:00.123456"])
    raise AssertionError(f"no values are known for {column}")
