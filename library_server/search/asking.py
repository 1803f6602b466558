"""Putting a search to PostgreSQL: as a tsquery, bounded in time, and seeing no more than the asker may."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from psycopg2.errors import QueryCanceled
from sqlalchemy import ColumnElement
from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.exc import OperationalError

from library_server.extensions import db
from library_server.search.errors import SearchTookTooLong
from library_server.search.near import NearWord
from library_server.search.words import Wanted, is_unfinished, title_query

TIMEOUT_MS = 3_000

# Until the transaction ends; sent along with the first statement. The planner does not know how much dearer than an
# index a walk over every tsvector is, nor that compiling these statements takes longer than running them; and where
# the pages are in memory already, PostgreSQL 18 takes twice as long when it reads ahead.
SETTINGS = f"""
    SELECT set_config('statement_timeout', '{TIMEOUT_MS}', true), set_config('enable_seqscan', 'off', true),
           set_config('jit', 'off', true), set_config('work_mem', '32MB', true),
           set_config('effective_io_concurrency', '0', true),
           set_config('pg_trgm.similarity_threshold', '0.25', true),
           set_config('pg_trgm.word_similarity_threshold', '0.4', true);"""

# What is typed, as a tsquery. The last word is completed; stop words alone are looked for in titles. Every entry has
# the lexeme "=", so that a search that only says what it does not want has something to be looked up.
EXACTLY = """
    parsed AS (
      SELECT websearch_to_tsquery('pg_catalog.english', :web) AS query,
             websearch_to_tsquery('pg_catalog.english', :last) AS last),
    completed AS (
      SELECT CASE WHEN numnode(query) = 0 THEN CAST(:title AS tsquery)
                  WHEN numnode(last) = 1 THEN ts_rewrite(query, last, last || CAST(:beginning AS tsquery))
                  ELSE query END AS query
      FROM parsed),
    asked AS MATERIALIZED (
      SELECT CASE WHEN querytree(query) = 'T' THEN CAST('''=''' AS tsquery) && query ELSE query END AS query
      FROM completed)"""
NEARLY = """
    parsed AS (SELECT websearch_to_tsquery('pg_catalog.english', :unwanted) AS unwanted),
    asked AS MATERIALIZED (
      SELECT CASE WHEN numnode(unwanted) = 0 THEN CAST(:near AS tsquery)
                  ELSE CAST(:near AS tsquery) && unwanted END AS query FROM parsed)"""


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


def exact(wanted: Wanted) -> dict[str, str]:
    """The parameters of EXACTLY."""
    open_ended = is_unfinished(wanted.last)
    return {
        "web": wanted.web,
        "last": wanted.last if open_ended else "",
        "beginning": f"'{wanted.last}':* | '={wanted.last}':*" if open_ended else "",
        "title": title_query(wanted.words, wanted.last),
    }


def near(wanted: Wanted, found: Sequence[Sequence[NearWord]]) -> dict[str, str]:
    """The parameters of NEARLY: each word or one near it; empty where a word has none."""
    if not all(found) and not wanted.either:
        return {}
    groups = [" | ".join(_quoted(word.lexeme) for word in group) for group in found if group]
    together = (" | " if wanted.either else " & ").join(f"({group})" for group in groups)
    return {"near": together, "unwanted": wanted.unwanted} if together else {}


def _quoted(lexeme: str) -> str:
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def as_sql(predicate: ColumnElement[bool]) -> str:
    """A predicate without values, for a statement written by hand."""
    return str(predicate.compile(dialect=dialect()))
