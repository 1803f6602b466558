"""The counts that lists go by (migration 0006): working in what has changed, counting anew, whether they are right."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from library_server.extensions import db

_NEWS = text("SELECT EXISTS (SELECT FROM library_moved)")
# Without a snapshot yet: what this waits for is seen by what follows.
_TAKE_TURNS = text("LOCK TABLE library_stretch IN SHARE ROW EXCLUSIVE MODE")
_TRY = text("LOCK TABLE library_stretch IN SHARE ROW EXCLUSIVE MODE NOWAIT")
_FOLD = text("SELECT library_fold()")
_RECOUNT = text("SELECT library_recount()")
_REFILL = text("SELECT library_refill()")
# Every item is on one shelf of all four filters.
_WRONG = text("""
    WITH found AS (
      SELECT filters, shown, priority, sum(count) AS count FROM (
        SELECT filters, active AS shown, priority, count FROM library_stretch JOIN library_shelf ON shelf = id
        WHERE (SELECT count(*) FROM jsonb_object_keys(filters)) = 4
        UNION ALL
        SELECT filters, active, priority, sign * cardinality(ids) FROM library_moved JOIN library_kind k ON k.id = kind
      ) counted GROUP BY filters, shown, priority),
    really AS (
      SELECT jsonb_build_object('content_type', content_type, 'subject_area', subject_area, 'age_range', age_range,
                                'difficulty_level', difficulty_level) AS filters,
             active IS NOT FALSE AS shown, coalesce(download_priority, 9223372036854775807) AS priority,
             count(*) AS count
      FROM content_library GROUP BY content_type, subject_area, age_range, difficulty_level, shown, priority)
    SELECT coalesce(sum(abs(coalesce(found.count, 0) - coalesce(really.count, 0))), 0)
    FROM found FULL JOIN really USING (filters, shown, priority)
""")


def fold() -> None:
    """Works into the counts what was appended to them since; nothing to do costs one look.

    Raises OperationalError while somebody else is at it.
    """
    with db.engine.connect() as connection:
        if not connection.scalar(_NEWS):
            return
    with _alone() as connection:
        connection.execute(_TRY)
        connection.execute(_FOLD)


def recount() -> None:
    """Counts everything anew. Readers and writers go on meanwhile; the time grows with the library."""
    with _alone() as connection:
        connection.execute(_TAKE_TURNS)
        connection.execute(_RECOUNT)


def refill() -> None:
    """Makes anew what search and lists read of the items. Writers wait; the time grows with the library's texts."""
    with db.engine.begin() as connection:
        connection.execute(_REFILL)


def wrong() -> int:
    """How many items the counts are out by. Reads every item."""
    return int(db.session.execute(_WRONG).scalar_one())


@contextmanager
def _alone() -> Iterator[Connection]:
    """A transaction whose statements all see the same of what others write."""
    with db.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        yield connection
