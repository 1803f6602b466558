"""Which items are scored: some of every subject, skill and difficulty, so that a million cost what a thousand do."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
)

from library_server.catalog.models import ContentItem
from library_server.catalog.visibility import shown
from library_server.extensions import db
from library_server.recommendations.items import Candidate
from library_server.recommendations.rows import ITEM, SCORED, candidate

SUBJECTS = 60  # of age range and subject
SKILLS = 200  # of age range, subject and skill
NEWEST = 200
STEPS = (0, 1, 2, 3)  # 3: none of the two dialects

# The words of ix_library_recommend. The first name in the JSON is of most items the skill that they are about.
_SKILL: ColumnElement[str] = literal_column(
    "coalesce(translate(lower(left(split_part(CAST(content_library.skill_objectives AS text), '\"', 2), 60)), "
    "' -', '__'), '')",
    Text,
)
_STEP: ColumnElement[int] = literal_column(
    "CASE WHEN content_library.difficulty_level IN ('beginner', 'easy') THEN 0 "
    "WHEN content_library.difficulty_level IN ('intermediate', 'standard') THEN 1 "
    "WHEN content_library.difficulty_level IN ('advanced', 'challenging') THEN 2 ELSE 3 END",
    Integer,
)


_IDS = bindparam("ids", type_=ARRAY(BigInteger))
_BY_ID = select(*SCORED).where(ITEM.id == func.any(_IDS))
_ITEMS = select(ContentItem.__table__).where(ITEM.id == func.any(_IDS), shown())


class Skill(NamedTuple):
    """The main skill of items of an age range and subject."""

    age_range: str
    subject: str
    skill: str


class Place(NamedTuple):
    """Where an item is to be found."""

    at: Skill
    step: int


def find_skills(ages: Sequence[str]) -> list[Skill]:
    """The skills of these age ranges, at most `SKILLS`; of every age range and subject at least one.

    The index is read in hops from one skill to the next, all subjects in step, so that none takes the others' share.
    """
    subjects = _subjects(ages)
    first = _lowest(_SKILL, subjects).label("skill")
    hops = select(subjects.c.age, subjects.c.subject, first).cte("hops", recursive=True)
    further = _lowest(_SKILL, hops, hops.c.skill < _SKILL)
    hops = hops.union_all(select(hops.c.age, hops.c.subject, further).where(hops.c.skill.is_not(None)))
    return [Skill(*row) for row in db.session.execute(select(hops).where(hops.c.skill.is_not(None)).limit(SKILLS))]


def find_some(skills: Iterable[Skill], count: int, mastered: Collection[int] = ()) -> dict[Place, list[Candidate]]:
    """The first `count` items of each skill and step by `download_priority`, without those that are `mastered`."""
    columns = (cast(list(column), ARRAY(Text)) for column in zip(*skills, strict=True))
    wanted = func.unnest(*columns).table_valued("age", "subject", "skill").render_derived()
    steps = select(_unnested(STEPS, Integer, "step")).subquery()
    done = select(_unnested(mastered, Integer, "id")).cte("done")
    some = (
        select(*SCORED)
        .where(shown(), ITEM.id.not_in(select(done.c.id)))
        .where(ITEM.age_range == wanted.c.age, ITEM.subject_area == wanted.c.subject)
        .where(wanted.c.skill == _SKILL, steps.c.step == _STEP)
        .order_by(ITEM.download_priority, ITEM.id)
        .limit(count)
        .lateral("some")
    )
    rows = db.session.execute(select(wanted, steps, some).select_from(wanted.join(steps, true()).join(some, true())))
    found: dict[Place, list[Candidate]] = {}
    for row in rows:
        found.setdefault(Place(Skill(row.age, row.subject, row.skill), row.step), []).append(candidate(row))
    return found


def find_newest(ages: Sequence[str]) -> list[Candidate]:
    """Of the newest of the library, those of these age ranges."""
    newest = select(*SCORED).where(shown()).order_by(ITEM.id.desc()).limit(NEWEST)
    return [candidate(row) for row in db.session.execute(newest) if row.age_range in ages]


def find_by_id(ids: Collection[int]) -> dict[int, Candidate]:
    """The items with these ids, retired ones too."""
    return {row.id: candidate(row) for row in db.session.connection().execute(_BY_ID, {"ids": list(ids)})}


def find_items(ids: Collection[int]) -> dict[int, Any]:
    """The items with these ids that everybody may see, by id, as rows with the attributes of a `ContentItem`."""
    return {item.id: item for item in db.session.connection().execute(_ITEMS, {"ids": list(ids)})}


def _subjects(ages: Sequence[str]) -> CTE:
    age = select(_unnested(ages, Text, "age")).subquery("ages")
    found = select(age.c.age, _lowest(ITEM.subject_area, age).label("subject")).cte("found", recursive=True)
    further = _lowest(ITEM.subject_area, found, ITEM.subject_area > found.c.subject)
    found = found.union_all(select(found.c.age, further).where(found.c.subject.is_not(None)))
    return select(found).where(found.c.subject.is_not(None)).limit(SUBJECTS).cte("subjects")


def _lowest(column: ColumnElement[str], at: Any, *more: ColumnElement[bool]) -> Any:
    """The first value of the column; in the index's whole order, which no other index has."""
    here = [ITEM.age_range == at.c.age, *([ITEM.subject_area == at.c.subject] if column is _SKILL else [])]
    order = (ITEM.age_range, ITEM.subject_area, _SKILL, _STEP)
    return select(column).where(shown(), *here, *more).order_by(*order).limit(1).scalar_subquery()


def _unnested(entries: Collection[Any], kind: Any, name: str) -> Any:
    return func.unnest(cast(list(entries), ARRAY(kind))).label(name)
