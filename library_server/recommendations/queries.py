"""Reads of what others keep about a child, with just the columns that are there."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Numeric,
    RowMapping,
    Select,
    Text,
    case,
    cast,
    column,
    extract,
    func,
    null,
    or_,
    select,
    table,
    text,
)

from library_server.catalog.models import ContentItem
from library_server.extensions import db
from library_server.recommendations import stored
from library_server.recommendations.profile import MASTERED, SLOW, Attempt
from library_server.shared import schema

LATEST_ITEMS = 300  # attempts whose items are looked at
MAX_ID = 2**31 - 1
_MAX_JSON_CHARACTERS = 4000
_CHILD = (
    *("id", "parent_id", "name", "age", "current_phonemic_level", "ai_difficulty_adjustment"),
    *("current_week", "skill_strengths", "skill_challenges"),
)
_ATTEMPT = (
    "content_id",
    "accuracy_percentage",
    "attempts_count",
    "engagement_score",
    "completion_time",
    "phonemic_skill",
)
SCORED_SKILLS = (  # the columns of the backend's progress: a score each, 0 to 100
    *("rhyming", "onset_fluency", "blending", "isolating_final_medial", "segmenting", "adding_phonemes"),
    *("deleting_phonemes", "substituting_phonemes", "phonemic_awareness"),
)


def find_child(child_id: int) -> dict[str, Any] | None:
    """The row of ``child``; what the table lacks is missing in it."""
    there = schema.columns("child")
    if "id" not in there or not 0 < child_id <= MAX_ID:
        return None
    source = table("child", *(column(name) for name in _CHILD if name in there))
    return _first(select(source).where(source.c.id == child_id))


def skill_scores(child_id: int) -> dict[str, float]:
    """Scores by skill, 0 to 100: of ``progress``, and what it does not tell of the newest of ``assessments``."""
    found: dict[str, float] = {}
    if newest := _newest("assessments", child_id, ["skill_scores"], ["administered_at", "assessment_id"]):
        found |= stored.scores(newest["skill_scores"])
    there = schema.columns("progress")
    if newest := _newest("progress", child_id, [name for name in SCORED_SKILLS if name in there], ["id"]):
        found |= stored.scores(dict(newest))
    return found


@dataclass(frozen=True)
class Tried:
    """The items that a child tried: how many, which of them it mastered, and the latest attempts, newest first."""

    count: int = 0
    mastered: frozenset[int] = frozenset()
    latest: Sequence[Attempt] = ()


def tried(child_id: int) -> Tried:
    """What the newest attempt at each item says. One statement, and one for the items of the latest."""
    there = schema.columns("progress")
    if not {"child_id", "content_id"} <= there:
        return Tried()
    newest = _newest_of_each(child_id, there)
    # infinity and NaN are no accuracy
    good = newest.c.accuracy_percentage.between(MASTERED, 1e300)
    order = (newest.c.at.desc().nulls_last(), newest.c.content_id.desc())
    first = func.row_number().over(order_by=order) == 1  # what is told of all is told once
    told = (
        case((first, select(func.count()).select_from(newest).scalar_subquery())).label("count"),
        case((first, select(func.array_agg(newest.c.content_id)).where(good).scalar_subquery())).label("mastered"),
    )
    rows = db.session.execute(select(newest, *told).order_by(*order).limit(LATEST_ITEMS)).mappings().all()
    if not rows:
        return Tried()
    items = _items([row["content_id"] for row in rows])
    attempts = [_attempt(row, items.get(row["content_id"], {})) for row in rows]
    return Tried(rows[0]["count"], frozenset(rows[0]["mastered"] or ()), attempts)


def _newest_of_each(child_id: int, there: Collection[str]) -> CTE:
    progress = table("progress", *(column(name) for name in there))
    # as a number: a date may be infinite or before our era
    when = cast(extract("epoch", progress.c.session_date), Numeric) if "session_date" in there else null()
    order = [when.desc().nulls_last(), *([progress.c.id.desc()] if "id" in there else [])]
    told = [(progress.c[name] if name in there else null()).label(name) for name in _ATTEMPT]
    return (
        select(*told, when.label("at"))
        .where(progress.c.child_id == child_id, progress.c.content_id.is_not(None))
        .prefix_with(text("DISTINCT ON (progress.content_id)"))
        .order_by(progress.c.content_id, *order)
        .cte("newest")
    )


def short_text(column: Any) -> ColumnElement[str | None]:
    """A JSON column as text, where it is not so long that it names no skills."""
    told = cast(column, Text)
    return case((func.length(told) <= _MAX_JSON_CHARACTERS, told))


def _newest(source: str, child_id: int, wanted: Sequence[str], order: Sequence[str]) -> dict[str, Any] | None:
    there = schema.columns(source)
    if not wanted or not {"child_id", *wanted, *order} <= there:
        return None
    found = table(source, *(column(name) for name in {"child_id", *wanted, *order}))
    newest: Select[Any] = (
        select(*(found.c[name] for name in wanted))
        .where(found.c.child_id == child_id, or_(*(found.c[name].is_not(None) for name in wanted)))
        .order_by(*(found.c[name].desc().nulls_last() for name in order))
        .limit(1)
    )
    return _first(newest)


def _first(wanted: Select[Any]) -> dict[str, Any] | None:
    row = db.session.execute(wanted).mappings().first()
    return None if row is None else {str(name): value for name, value in row.items()}


def _items(ids: Sequence[int]) -> dict[int, RowMapping]:
    wanted = select(
        ContentItem.id,
        ContentItem.subject_area,
        ContentItem.content_type,
        ContentItem.difficulty_level,
        ContentItem.average_completion_time,
        short_text(ContentItem.skill_objectives).label("skill_objectives"),
    ).where(ContentItem.id.in_(ids))
    return {row["id"]: row for row in db.session.execute(wanted).mappings()}


def _attempt(row: RowMapping, item: RowMapping | Mapping[str, Any]) -> Attempt:
    took = stored.number(row.get("completion_time"), 0, 1e9)
    usual = stored.number(item.get("average_completion_time"), 1, 1e9)
    skill = stored.skill(row.get("phonemic_skill"))
    return Attempt(
        content_id=row["content_id"],
        accuracy=stored.percent(row.get("accuracy_percentage")),
        attempts=stored.whole(row.get("attempts_count"), 1, 10**6) or 1,
        engagement=stored.percent(row.get("engagement_score")),
        skills=(skill,) if skill else stored.skills_of_text(item.get("skill_objectives")),
        subject=item.get("subject_area") or "",
        content_type=item.get("content_type") or "",
        step=stored.step(item.get("difficulty_level")),
        on=stored.day(row.get("at")),
        slow=took is not None and usual is not None and took > SLOW * usual,
    )
