"""Which tables and columns the shared database has: it is found in several shapes, and the backend may change it."""

import time

from flask import current_app
from sqlalchemy import text

from library_server.extensions import db

REMEMBER_SECONDS = 60
MISSING_SECONDS = 5  # a table that is missing may be made at any moment
VERSION_TABLE = "library_alembic_version"

_COLUMNS = text(
    "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped"
)


def columns(table: str) -> frozenset[str]:
    """The names of the table's columns, none where there is no such table; at most a minute old."""
    known: dict[str, tuple[float, frozenset[str]]] = current_app.extensions.setdefault("library_schema", {})
    if table in known and time.monotonic() < known[table][0]:
        return known[table][1]
    found = frozenset(db.session.scalars(_COLUMNS, {"table": table}))
    known[table] = (time.monotonic() + (REMEMBER_SECONDS if found else MISSING_SECONDS), found)
    return found
