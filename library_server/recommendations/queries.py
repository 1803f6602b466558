"""Reads of what others keep about a child, with just the columns that are there."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import (
    CTE,
    Double,
    Select,
    bindparam,
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
from library_server.catalog.visibility import shown
from library_server.extensions import db
from library_server.recommendations import rows, stored
from library_server.recommendations.items import Candidate
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
    """What a child tried: how many items, which it mastered, the latest attempts and items begun, newest first."""

    count: int = 0
    mastered: frozenset[int] = frozenset()
    latest: Sequence[Attempt] = ()
    begun: Sequence[Candidate] = ()  # that everybody may see, of any age range


def tried(child_id: int) -> Tried:
    """What the newest attempt at each item says; one statement."""
    there = schema.columns("progress")
    if not {"child_id", "content_id"} <= there:
        return Tried()
    found = db.session.execute(_latest(there), {"child": child_id}).all()
    if not found:
        return Tried()
    attempts = [_attempt(row) for row in found]
    begun = (row for row, attempt in zip(found, attempts, strict=True) if row.id and row.shown and not attempt.mastered)
    return Tried(
        found[0].tried,
        frozenset(found[0].mastered or ()),
        attempts,
        [rows.candidate(row) for row in islice(begun, UNFINISHED)],
    )


@lru_cache(maxsize=8)
def _latest(there: frozenset[str]) -> Select[Any]:
    """The latest attempts at different items, each with its item, by what columns there are."""
    newest = _newest_of_each(there)
    order = (newest.c.at.desc().nulls_last(), newest.c.content_id.desc())
    place = func.row_number().over(order_by=order)
    # infinity and NaN are no accuracy
    good = newest.c.accuracy_percentage.between(MASTERED, 1e300)
    told = (  # of all, once
        case((place == 1, select(func.count()).select_from(newest).scalar_subquery())).label("tried"),
        case((place == 1, select(func.array_agg(newest.c.content_id)).where(good).scalar_subquery())).label("mastered"),
    )
    latest = select(newest, place.label("place"), *told).order_by(*order).limit(LATEST_ITEMS).subquery()
    item = (*rows.SCORED, rows.ITEM.average_completion_time, shown().label("shown"))
    return select(latest, *item).outerjoin_from(latest, ContentItem, rows.ITEM.id == latest.c.content_id).order_by(
        latest.c.place
    )


def _newest_of_each(there: Collection[str]) -> CTE:
    progress = table("progress", *(column(name) for name in there))
    # as a number: a date may be infinite or before our era
    when = cast(extract("epoch", progress.c.session_date), Double) if "session_date" in there else null()
    order = [when.desc().nulls_last(), *([progress.c.id.desc()] if "id" in there else [])]
    told = [(progress.c[name] if name in there else null()).label(name) for name in _ATTEMPT]
    return (
        select(*told, when.label("at"))
        .where(progress.c.child_id == bindparam("child"), progress.c.content_id.is_not(None))
        .prefix_with(text("DISTINCT ON (progress.content_id)"))
        .order_by(progress.c.content_id, *order)
        .cte("newest")
    )


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
