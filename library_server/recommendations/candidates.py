"""Which items are scored: some of every subject, skill and difficulty, so that a million cost what a thousand do."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Integer,
    Select,
    Text,
    cast,
    func,
    literal_column,
    select,
    true,
    union,
    union_all,
)

from library_server.actor import Actor
from library_server.catalog.models import ContentItem
from library_server.catalog.visibility import visible
from library_server.extensions import db
from library_server.recommendations import stored
from library_server.recommendations.queries import short_text
from library_server.recommendations.scoring import Candidate

POOL = 800  # items to score, about
LEAST_OF_EACH = 2
SUBJECTS = 60  # of age range and subject
SKILLS = 200  # of age range, subject and skill
NEEDY_SKILLS = 8
NEEDY_TIMES = 3  # as many of a skill that wants work
NEWEST = 200
UNFINISHED = 100
STEPS = (0, 1, 2, 3)  # 3: none of the two dialects

# The words of ix_library_recommend. The first name in the JSON is of most items the skill that they are about.
_SKILL: ColumnElement[str] = literal_column(
    "coalesce(translate(lower(substring(CAST(content_library.skill_objectives AS text) "
    """from '"([^"\\\\]{1,60})"')), ' -', '__'), '')""",
    Text,
)
_STEP: ColumnElement[int] = literal_column(
    "CASE WHEN content_library.difficulty_level IN ('beginner', 'easy') THEN 0 "
    "WHEN content_library.difficulty_level IN ('intermediate', 'standard') THEN 1 "
    "WHEN content_library.difficulty_level IN ('advanced', 'challenging') THEN 2 ELSE 3 END",
    Integer,
)
_ITEM = ContentItem.__table__.c
_SCORED = (
    _ITEM.id,
    _ITEM.content_type,
    _ITEM.subject_area,
    short_text(_ITEM.skill_objectives).label("skills"),
    short_text(_ITEM.prerequisite_skills).label("prerequisites"),
    _ITEM.difficulty_level,
    func.substring(cast(_ITEM.content_metadata, Text), r'"week": *([0-9]{1,2})\M').label("week"),
    _ITEM.usage_count,
    _ITEM.success_rate,
    _ITEM.created_at,
)


def find_candidates(
    actor: Actor, ages: Sequence[str], mastered: Collection[int], needy: Sequence[str], begun: Sequence[int]
) -> list[Candidate]:
    """Items that `actor` may see, of one of these age ranges, none of them `mastered`; one statement.

    Some of each subject, skill and difficulty by `download_priority`, more of the skills in `needy`, the newest of the
    library, and the items in `begun`.
    """
    shown, needy = visible(actor), needy[:NEEDY_SKILLS]
    done = select(_unnested(mastered, Integer, "id")).cte("done")
    newest = select(*_SCORED, _ITEM.age_range).where(shown).order_by(_ITEM.id.desc()).limit(NEWEST).subquery()
    wanted = union_all(
        _of_each(_groups(shown, ages, needy), [shown, _ITEM.id.not_in(select(done.c.id))], needy),
        select(*(newest.c[column.key] for column in _SCORED)).where(newest.c.age_range.in_(ages)),
        select(*_SCORED).where(_ITEM.id.in_(begun[:UNFINISHED]), _ITEM.age_range.in_(ages), shown),
    )
    found = {row.id: row for row in db.session.execute(wanted) if row.id not in mastered}
    return [_candidate(row) for row in found.values()]


def find_items(actor: Actor, ids: Collection[int]) -> dict[int, ContentItem]:
    """The items with these ids that `actor` may see, by id."""
    found = db.session.scalars(select(ContentItem).where(ContentItem.id.in_(ids), visible(actor)))
    return {item.id: item for item in found}


def _groups(shown: ColumnElement[bool], ages: Sequence[str], needy: Sequence[str]) -> CTE:
    """Age range, subject, skill and step.

    The index is read in hops from one skill to the next, all subjects in step, so that none takes the others' share.
    """
    subjects = _subjects(shown, ages)
    first = _lowest(_SKILL, shown, subjects).label("skill")
    hops = select(subjects.c.age, subjects.c.subject, first).cte("hops", recursive=True)
    further = _lowest(_SKILL, shown, hops, hops.c.skill < _SKILL)
    hops = hops.union_all(select(hops.c.age, hops.c.subject, further).where(hops.c.skill.is_not(None)))
    wanted = select(_unnested(needy, Text, "skill")).subquery()
    skills = union(
        select(hops).where(hops.c.skill.is_not(None)).limit(SKILLS).subquery().select(),
        select(subjects.c.age, subjects.c.subject, wanted.c.skill).join_from(subjects, wanted, true()),
    ).subquery()
    steps = select(_unnested(STEPS, Integer, "step")).subquery()
    return select(skills, steps.c.step).join_from(skills, steps, true()).cte("groups")


def _subjects(shown: ColumnElement[bool], ages: Sequence[str]) -> CTE:
    age = select(_unnested(ages, Text, "age")).subquery("ages")
    found = select(age.c.age, _lowest(_ITEM.subject_area, shown, age).label("subject")).cte("found", recursive=True)
    further = _lowest(_ITEM.subject_area, shown, found, _ITEM.subject_area > found.c.subject)
    found = found.union_all(select(found.c.age, further).where(found.c.subject.is_not(None)))
    return select(found).where(found.c.subject.is_not(None)).limit(SUBJECTS).cte("subjects")


def _lowest(column: ColumnElement[str], shown: ColumnElement[bool], at: Any, *more: ColumnElement[bool]) -> Any:
    """The first value of the column; in the index's whole order, which no other index has."""
    here = [_ITEM.age_range == at.c.age, *([_ITEM.subject_area == at.c.subject] if column is _SKILL else [])]
    order = (_ITEM.age_range, _ITEM.subject_area, _SKILL, _STEP)
    return select(column).where(shown, *here, *more).order_by(*order).limit(1).scalar_subquery()


def _of_each(groups: CTE, wanted: Sequence[ColumnElement[bool]], needy: Sequence[str]) -> Select[Any]:
    share = select(func.greatest(LEAST_OF_EACH, POOL / func.greatest(1, func.count()))).select_from(groups)
    favoured = cast(groups.c.skill == func.any(cast(list(needy), ARRAY(Text))), Integer)
    some = (
        select(*_SCORED)
        .where(*wanted, _ITEM.age_range == groups.c.age, _ITEM.subject_area == groups.c.subject)
        .where(groups.c.skill == _SKILL, groups.c.step == _STEP)
        .order_by(_ITEM.download_priority, _ITEM.id)
        .limit(share.scalar_subquery() * (1 + (NEEDY_TIMES - 1) * favoured))
        .lateral("some")
    )
    return select(some).select_from(groups.join(some, true()))


def _unnested(entries: Collection[Any], kind: Any, name: str) -> Any:
    return func.unnest(cast(list(entries), ARRAY(kind))).label(name)


def _candidate(row: Any) -> Candidate:
    return Candidate(
        id=row.id,
        content_type=row.content_type,
        subject=row.subject_area,
        skills=stored.skills_of_text(row.skills),
        prerequisites=stored.skills_of_text(row.prerequisites),
        step=stored.step(row.difficulty_level),
        week=int(row.week) if row.week else None,
        uses=max(row.usage_count or 0, 0),
        success=stored.number(row.success_rate, 0, 100),
        created=row.created_at.date() if isinstance(row.created_at, datetime) else None,
    )
