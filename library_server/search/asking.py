"""Putting a search to PostgreSQL: bounded in time, as a tsquery, first exactly and then nearly."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg2.errors import QueryCanceled
from sqlalchemy import ColumnElement, String, case, cast, func, literal, or_, text
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.exc import OperationalError

from library_server.extensions import db
from library_server.search.errors import SearchTookTooLong
from library_server.search.models import SearchEntry
from library_server.search.near import Abilities, NearWord
from library_server.search.words import Wanted, is_unfinished, title_query

TIMEOUT_MS = 3_000
COUNTED_WORDS = 8  # of a search, towards its order

# The planner does not know how much dearer than an index a walk over every tsvector is, nor that compiling is.
_SETTINGS = """
    set_config('statement_timeout', :timeout, true), set_config('enable_seqscan', 'off', true),
    set_config('jit', 'off', true), set_config('work_mem', '32MB', true),
    set_config('pg_trgm.similarity_threshold', '0.25', true),
    set_config('pg_trgm.word_similarity_threshold', '0.4', true)"""
_READ = text(
    f"""
    WITH parsed AS (
      SELECT websearch_to_tsquery('pg_catalog.english', :web) AS query,
             websearch_to_tsquery('pg_catalog.english', :last) AS last),
    completed AS (
      SELECT CASE WHEN numnode(query) = 0 THEN CAST(:title AS tsquery)
                  WHEN numnode(last) = 1 THEN ts_rewrite(query, last, last || CAST(:beginning AS tsquery))
                  ELSE query END AS query
      FROM parsed)
    SELECT CAST(CASE WHEN querytree(query) = 'T' THEN CAST('''=''' AS tsquery) && query ELSE query END AS text),
           to_regproc('similarity') IS NOT NULL, to_regproc('dmetaphone') IS NOT NULL, {_SETTINGS}
    FROM completed"""
)


@contextmanager
def bounded() -> Iterator[None]:
    """Raises SearchTookTooLong where a statement runs into the time that `read_query` grants."""
    try:
        yield
    except OperationalError as error:
        if isinstance(error.orig, QueryCanceled):
            db.session.rollback()
            raise SearchTookTooLong from None
        raise


def read_query(wanted: Wanted) -> tuple[str, Abilities]:
    """The tsquery of a search as text, and what the database can do for near spellings.

    Also sets, until the transaction ends, what bounds the statements that follow. Each entry has the lexeme ``=``,
    so that a search that only says what it does not want has something to be looked up.
    """
    beginning = f"'{wanted.last}':* | '={wanted.last}':*" if is_unfinished(wanted.last) else ""
    given = {
        "web": wanted.web,
        "last": wanted.last if beginning else "",
        "beginning": beginning,
        "title": title_query(wanted.words, wanted.last),
        "timeout": str(TIMEOUT_MS),
    }
    query, trigrams, sounds, *_ = db.session.execute(_READ, given).one()
    return query, Abilities(trigrams, sounds)


def near_query(wanted: Wanted, near: Sequence[Sequence[NearWord]]) -> str:
    """The tsquery of what is nearly meant; empty where a word has nothing near it."""
    if not near or (not all(near) and not wanted.either):
        return ""
    groups = [" | ".join(_quoted(word.lexeme) for word in group) for group in near if group]
    return (" | " if wanted.either else " & ").join(f"({group})" for group in groups)


def _quoted(lexeme: str) -> str:
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def matches(query: str) -> ColumnElement[bool]:
    """The entries that a tsquery (as text) finds."""
    return SearchEntry.document.op("@@")(as_tsquery(query))


def as_tsquery(query: str) -> ColumnElement[Any]:
    """A tsquery from its text."""
    return cast(literal(query, String), TSQUERY)


def words_in_title(groups: Sequence[Sequence[str]]) -> ColumnElement[int]:
    """How many of the groups of words have one that begins a word of the title."""
    title = func.concat(" ", SearchEntry.title)
    found = [
        case((or_(*(func.strpos(title, f" {word}") > 0 for word in group)), 1), else_=0)
        for group in groups[:COUNTED_WORDS]
        if group
    ]
    return sum(found, start=literal(0)) if found else literal(0)


def in_order(entry: Any) -> tuple[ColumnElement[Any], ...]:
    """What comes first among equals: priority (1 first, missing last), popularity, id."""
    return entry.download_priority.asc(), entry.popularity.desc(), entry.id.asc()
