"""Items as the database has them, read for scoring."""

from typing import Any

from sqlalchemy import ColumnElement, Double, Text, case, cast, extract, func

from library_server.catalog.models import ContentItem
from library_server.catalog.visibility import shown
from library_server.recommendations import stored
from library_server.recommendations.items import Candidate

_MAX_JSON_CHARACTERS = 4000
ITEM = ContentItem.__table__.c


def _short_text(column: Any) -> ColumnElement[str | None]:
    """A JSON column as text, where it is not so long that it names no skills."""
    told = cast(column, Text)
    return case((func.length(told) <= _MAX_JSON_CHARACTERS, told))


SCORED = (
    ITEM.id,
    ITEM.age_range,
    ITEM.content_type,
    ITEM.subject_area,
    _short_text(ITEM.skill_objectives).label("skills"),
    _short_text(ITEM.prerequisite_skills).label("prerequisites"),
    ITEM.difficulty_level,
    func.substring(cast(ITEM.content_metadata, Text), r'"week": *([0-9]{1,2})\M').label("week"),
    ITEM.usage_count,
    ITEM.success_rate,
    cast(extract("epoch", ITEM.created_at), Double).label("created"),
    ITEM.average_completion_time,
    shown().label("shown"),
)


def candidate(row: Any) -> Candidate:
    """The item of a row that has the columns of `SCORED`."""
    return Candidate(
        id=row.id,
        age_range=row.age_range,
        content_type=row.content_type,
        subject=row.subject_area,
        skills=stored.skills_of_text(row.skills),
        prerequisites=stored.skills_of_text(row.prerequisites),
        step=stored.step(row.difficulty_level),
        week=int(row.week) if row.week else None,
        uses=max(row.usage_count or 0, 0),
        success=stored.number(row.success_rate, 0, 100),
        created=stored.day(row.created),
        usual_seconds=stored.number(row.average_completion_time, 1, 1e9),
        shown=row.shown,
    )
