"""What the backend's own tables say of a child's skills, with just the columns that are there."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, column, or_, select, table

from library_server.extensions import db
from library_server.recommendations import stored
from library_server.shared import schema

SCORED_SKILLS = (  # the columns of the backend's progress: a score each, 0 to 100
    *("rhyming", "onset_fluency", "blending", "isolating_final_medial", "segmenting", "adding_phonemes"),
    *("deleting_phonemes", "substituting_phonemes", "phonemic_awareness"),
)


def skill_scores(child_id: int) -> dict[str, float]:
    """Scores by skill, 0 to 100: of ``progress``, and what it does not tell of the newest of ``assessments``."""
    found: dict[str, float] = {}
    if newest := _newest("assessments", child_id, ["skill_scores"], ["administered_at", "assessment_id"]):
        found |= stored.scores(newest["skill_scores"])
    there = schema.columns("progress")
    if newest := _newest("progress", child_id, [name for name in SCORED_SKILLS if name in there], ["id"]):
        found |= stored.scores(dict(newest))
    return found


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
    row = db.session.execute(newest).mappings().first()
    return None if row is None else {str(name): value for name, value in row.items()}
