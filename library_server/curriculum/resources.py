"""The curriculum's three resources, each described once; routes, queries, services and import all go by it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, inspect
from sqlalchemy.orm import InstrumentedAttribute

from library_server.curriculum import replies, schemas
from library_server.curriculum.models import CurriculumUnit, HeggertyLesson, NurseryRhyme, Row
from library_server.curriculum.neighbours import find_neighbours
from library_server.lib import json
from library_server.lib.digests import tag
from library_server.web.inputs import WindowQuery
from library_server.web.links import file_url

AUDIO = "audio_file_path"
Condition = Callable[[Any], ColumnElement[bool]]


@dataclass(frozen=True)
class Resource:
    """A table of the curriculum as it is served below ``/content/curriculum/<name>``."""

    name: str  # in the URL, and what `flask library import --kind` calls it
    one: str  # the key of one row, and its name in words
    many: str
    model: type[Row]
    key: tuple[str, ...]  # by which an import knows a row again
    change: type[schemas.Change]
    draft: type[schemas.Draft]
    query: type[WindowQuery]
    filters: Mapping[str, Condition]  # the fields of `query` that narrow the list
    order: tuple[InstrumentedAttribute[Any], ...]  # the last one is the id
    reply: type[Any]
    beside: Callable[[Sequence[Row]], Mapping[int, Mapping[str, Any]]] | None = None  # what is found around each row

    @property
    def noun(self) -> str:
        """``Lesson``: how sentences begin."""
        return self.one.capitalize()

    @property
    def replies(self) -> replies.Replies:
        """What its routes answer, for the API's description."""
        asked = {name: self.query.model_fields[name] for name in self.filters}
        return replies.replies_with(self.reply, self.one, self.many, asked)

    def dump(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """The rows with every column, where the recording is served, and what is beside them."""
        beside = self.beside(rows) if self.beside else {}
        return [_columns(row) | _audio(row) | dict(beside.get(row.id, {})) for row in rows]

    def revision(self, row: Row) -> str:
        """Changes when an editor's column does, whoever wrote it."""
        return tag(json.encode([getattr(row, name) for name in self.change.model_fields]))


def _columns(row: Row) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in inspect(type(row)).columns}


def _audio(row: Row) -> dict[str, str | None]:
    if not hasattr(row, AUDIO):
        return {}
    path = getattr(row, AUDIO)
    return {"audio_url": file_url(path) if path else None}


LESSONS = Resource(
    name="heggerty",
    one="lesson",
    many="lessons",
    model=HeggertyLesson,
    key=("lesson_number", "skill_focus", "activity_type"),
    change=schemas.LessonChange,
    draft=schemas.LessonDraft,
    query=schemas.LessonQuery,
    filters={
        "lesson_number": lambda number: HeggertyLesson.lesson_number == number,
        "lesson_from": lambda number: HeggertyLesson.lesson_number >= number,
        "lesson_to": lambda number: HeggertyLesson.lesson_number <= number,
        "skill_focus": lambda skill: HeggertyLesson.skill_focus == skill,
        "activity_type": lambda kind: HeggertyLesson.activity_type == kind,
    },
    order=(HeggertyLesson.lesson_number, HeggertyLesson.id),
    reply=replies.Lesson,
)
RHYMES = Resource(
    name="nursery-rhymes",
    one="rhyme",
    many="rhymes",
    model=NurseryRhyme,
    key=("rhyme_name",),
    change=schemas.RhymeChange,
    draft=schemas.RhymeDraft,
    query=schemas.RhymeQuery,
    filters={
        "age_appropriate": lambda age: NurseryRhyme.age_appropriate == age,
        "q": lambda text: NurseryRhyme.rhyme_name.icontains(text, autoescape=True),
    },
    order=(NurseryRhyme.rhyme_name, NurseryRhyme.id),
    reply=replies.Rhyme,
)
UNITS = Resource(
    name="multi-subject",
    one="unit",
    many="units",
    model=CurriculumUnit,
    key=("subject", "grade_level", "unit_title", "lesson_sequence"),
    change=schemas.UnitChange,
    draft=schemas.UnitDraft,
    query=schemas.UnitQuery,
    filters={
        "subject": lambda subject: CurriculumUnit.subject == subject,
        "grade_level": lambda grade: CurriculumUnit.grade_level == grade,
    },
    order=(CurriculumUnit.lesson_sequence, CurriculumUnit.id),
    reply=replies.Unit,
    beside=find_neighbours,
)
RESOURCES = (LESSONS, RHYMES, UNITS)
