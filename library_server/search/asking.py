"""Putting a search to PostgreSQL: bounded in time, and seeing no more than the asker may."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg2.errors import QueryCanceled
from sqlalchemy import ColumnElement
from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.exc import OperationalError

from library_server.extensions import db
from library_server.search.errors import SearchTookTooLong

TIMEOUT_MS = 3_000

# Until the transaction ends; sent along with the first statement.
TIMEOUT = f"SELECT set_config('statement_timeout', '{TIMEOUT_MS}', true);"
# For statements that PostgreSQL plans each time. It does not know how much dearer than an index a walk over every
# tsvector is, nor that compiling them takes longer than running them; and where the pages are in memory already,
# PostgreSQL 18 takes twice as long when it reads ahead.
SETTINGS = f"""
    SELECT set_config('statement_timeout', '{TIMEOUT_MS}', true), set_config('enable_seqscan', 'off', true),
           set_config('jit', 'off', true), set_config('effective_io_concurrency', '0', true);"""


@contextmanager
def bounded() -> Iterator[None]:
    """Raises SearchTookTooLong where a statement runs into the time that SETTINGS grant."""
    try:
        yield
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            db.session.rollback()
            raise SearchTookTooLong from None
        raise


def as_sql(predicate: ColumnElement[bool]) -> str:
    """A predicate without values, for a statement written by hand."""
    return str(predicate.compile(dialect=dialect()))
