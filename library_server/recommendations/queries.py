"""Reads of what others keep about a child, with just the columns that are there."""

from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from pydantic_core import from_json
from sqlalchemy import CTE, Double, Text, bindparam, cast, column, extract, func, null, select, table, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.dialects.postgresql.psycopg2 import dialect
from sqlalchemy.sql.compiler import Compiled

from library_server.catalog.models import ContentItem
from library_server.catalog.visibility import shown
from library_server.extensions import db
from library_server.recommendations import rows, stored
from library_server.recommendations.profile import MASTERED, SLOW, Attempt
from library_server.shared import schema

LATEST_ITEMS = 300  # attempts whose items are looked at
UNFINISHED = 100  # of these, items that are scored whatever else is
MAX_ID = 2**31 - 1
_CHILD = (
    *("id", "parent_id", "name", "age", "current_phonemic_level", "ai_difficulty_adjustment"),
    *("current_week", "skill_strengths", "skill_challenges"),
)
_ATTEMPT = (
    *("content_id", "accuracy_percentage", "attempts_count", "engagement_score", "completion_time", "phonemic_skill"),
)
_OF_ITEM = (*rows.SCORED, rows.ITEM.average_completion_time, shown().label("shown"))
# An attempt and its item, as PostgreSQL lists them in JSON: one value is read much quicker than 300 rows.
_Latest: Any = namedtuple("_Latest", [*_ATTEMPT, "at", *(each.name for each in _OF_ITEM)])


@dataclass(frozen=True)
class Tried:
    """What a child tried: how many items, which it mastered, the latest attempts and items begun, newest first."""

    count: int = 0
    mastered: frozenset[int] = frozenset()
    latest: Sequence[Attempt] = ()
    begun: Sequence[Any] = ()  # rows for `rows.candidate`, that everybody may see, of any age range


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
    return row, _tried(found) if found.get("latest") else Tried()


def _tried(found: Mapping[str, Any]) -> Tried:
    latest = [_Latest(*each) for each in from_json(found["latest"])]
    attempts = [_attempt(each) for each in latest]
    begun = (row for row, attempt in zip(latest, attempts, strict=True) if row.id and row.shown and not attempt.mastered)
    return Tried(
        found["tried"],
        frozenset(found["mastered"] or ()),
        attempts,
        list(islice(begun, UNFINISHED)),
    )


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
    one = func.json_build_array(*(told.c[name] for name in (*_ATTEMPT, "at")), *_OF_ITEM)
    joined = told.outerjoin(ContentItem, rows.ITEM.id == told.c.content_id)
    each = select(cast(func.json_agg(aggregate_order_by(one, told.c.place)), Text))
    return each.select_from(joined).scalar_subquery()


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


def _attempt(row: Any) -> Attempt:
    took = stored.number(row.completion_time, 0, 1e9)
    usual = stored.number(row.average_completion_time, 1, 1e9)
    skill = stored.skill(row.phonemic_skill)
    return Attempt(
        content_id=row.content_id,
        accuracy=stored.percent(row.accuracy_percentage),
        attempts=stored.whole(row.attempts_count, 1, 10**6) or 1,
        engagement=stored.percent(row.engagement_score),
        skills=(skill,) if skill else stored.skills_of_text(row.skills),
        subject=row.subject_area or "",
        content_type=row.content_type or "",
        step=stored.step(row.difficulty_level),
        on=stored.day(row.at),
        slow=took is not None and usual is not None and took > SLOW * usual,
    )
