"""Reads of what others keep about a child, with just the columns that are there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic_core import from_json
from sqlalchemy import CTE, Double, Text, bindparam, cast, column, extract, func, null, select, table, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.dialects.postgresql.psycopg2 import dialect
from sqlalchemy.sql.compiler import Compiled

from library_server.extensions import db
from library_server.recommendations import stored
from library_server.recommendations.items import Candidate
from library_server.recommendations.profile import MASTERED, SLOW, Attempt
from library_server.shared import schema

LATEST_ITEMS = 300  # attempts whose items are looked at
MAX_ID = 2**31 - 1
_CHILD = (
    *("id", "parent_id", "name", "age", "current_phonemic_level", "ai_difficulty_adjustment"),
    *("current_week", "skill_strengths", "skill_challenges"),
)
_NOTHING = Candidate(0, "", "")  # of an item that is no more
_ATTEMPT = (
    *("content_id", "accuracy_percentage", "attempts_count", "engagement_score", "completion_time", "phonemic_skill"),
)


@dataclass(frozen=True)
class Tried:
    """What a child tried: how many items, which it mastered, and the latest, newest first: `_ATTEMPT` and when."""

    count: int = 0
    mastered: frozenset[int] = frozenset()
    latest: Sequence[Sequence[Any]] = ()


def find_child(child_id: int) -> tuple[Mapping[str, Any], Tried] | None:
    """The row of ``child``, without what the table lacks, and what its newest attempt at each item says.

    One statement.
    """
    there = schema.columns("child")
    if "id" not in there or not 0 < child_id <= MAX_ID:
        return None
    asked = _child(there, schema.columns("progress"))
    connection = db.session.connection()
    found = connection.exec_driver_sql(asked.string, {**asked.params, "child": child_id}).mappings().first()
    if found is None:
        return None
    row = {name: found[name] for name in _CHILD if name in found}
    if not found.get("latest"):
        return row, Tried()
    # One value in JSON is read much quicker than 300 rows.
    return row, Tried(found["tried"], frozenset(found["mastered"] or ()), from_json(found["latest"]))


@lru_cache(maxsize=8)
def _child(of_child: frozenset[str], of_progress: frozenset[str]) -> Compiled:
    """The statement for the columns that there are, compiled once."""
    child = table("child", *(column(name) for name in of_child))
    asked = select(*(child.c[name] for name in _CHILD if name in of_child)).where(child.c.id == bindparam("child"))
    if {"child_id", "content_id"} <= of_progress:
        newest = _newest_of_each(of_progress)
        # infinity and NaN are no accuracy
        mastered = select(func.array_agg(newest.c.content_id)).where(
            newest.c.accuracy_percentage.between(MASTERED, 1e300)
        )
        asked = asked.add_columns(
            select(func.count()).select_from(newest).scalar_subquery().label("tried"),
            mastered.scalar_subquery().label("mastered"),
            _latest(newest).label("latest"),
        )
    return asked.compile(dialect=dialect())


def _latest(newest: CTE) -> Any:
    """The latest of these attempts as JSON."""
    order = (newest.c.at.desc().nulls_last(), newest.c.content_id.desc())
    latest = select(newest, func.row_number().over(order_by=order).label("place"))
    told = latest.order_by(*order).limit(LATEST_ITEMS).subquery()
    one = func.json_build_array(*(told.c[name] for name in (*_ATTEMPT, "at")))
    return select(cast(func.json_agg(aggregate_order_by(one, told.c.place)), Text)).scalar_subquery()


def _newest_of_each(there: frozenset[str]) -> CTE:
    progress = table("progress", *(column(name) for name in there))
    # as a number: a date may be infinite or before our era
    when = cast(extract("epoch", progress.c.session_date), Double) if "session_date" in there else cast(null(), Double)
    order = [when.desc().nulls_last(), *([progress.c.id.desc()] if "id" in there else [])]
    told = [(progress.c[name] if name in there else cast(null(), Double)).label(name) for name in _ATTEMPT]
    return (
        select(*told, when.label("at"))
        .where(progress.c.child_id == bindparam("child"), progress.c.content_id.is_not(None))
        .prefix_with(text("DISTINCT ON (progress.content_id)"))
        .order_by(progress.c.content_id, *order)
        .cte("newest")
    )


def attempts(latest: Iterable[Sequence[Any]], items: Mapping[int, Candidate | None]) -> list[Attempt]:
    """The attempts of `Tried.latest`, with what is known of their items."""
    made = []
    for content_id, accuracy, count, engagement, seconds, named, at in latest:
        item, skill = items[content_id] or _NOTHING, stored.skill(named)
        took = stored.number(seconds, 0, 1e9)
        made.append(
            Attempt(
                content_id,
                stored.percent(accuracy),
                stored.whole(count, 1, 10**6) or 1,
                stored.percent(engagement),
                (skill,) if skill else item.skills,
                item.subject,
                item.content_type,
                item.step,
                took is not None and item.usual_seconds is not None and took > SLOW * item.usual_seconds,
                stored.day(at),
            )
        )
    return made
