"""The curriculum's answers, for the API's description (tests hold every answer against it)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from library_server.catalog.replies import FILE_PATH, FILE_URL, TIME, Pagination

_PATH: Any = Field(description="Relative to the content folder.", examples=[FILE_PATH])
_URL: Any = Field(description="Where the recording is served.", examples=[FILE_URL])
_BEFORE, _AFTER = (
    {"id": number, "title": title, "url": f"/content/curriculum/multi-subject/{number}"}
    for number, title in ((4, "Insects in the garden"), (6, "Birds and their nests"))
)


def _stored(example: Any) -> Any:
    return Field(description="A list or an object, as stored.", examples=[example])


class _Row(BaseModel):
    id: int = Field(examples=[5])


class _Timed(BaseModel):
    created_at: str | None = Field(description="UTC, ISO 8601 without a zone.", examples=[TIME])
    updated_at: str | None = Field(description="UTC, ISO 8601 without a zone.", examples=[TIME])


class Lesson(_Timed, _Row):
    """A phonemic-awareness lesson."""

    lesson_number: int = Field(examples=[1])
    skill_focus: str = Field(examples=["rhyming"])
    activity_type: str = Field(examples=["song"])
    content_data: Any = _stored({"words": ["spider", "rider", "glider"]})
    audio_file_path: str | None = _PATH
    audio_url: str | None = _URL
    difficulty_progression: str | None = Field(examples=["beginner"])


class Rhyme(_Timed, _Row):
    """A nursery rhyme."""

    rhyme_name: str = Field(examples=["The Itsy Bitsy Spider"])
    lyrics: str | None = Field(examples=["The itsy bitsy spider climbed up the water spout."])
    audio_file_path: str | None = _PATH
    audio_url: str | None = _URL
    learning_objectives: Any = _stored(["rhyming"])
    motor_skills: Any = _stored(["finger_play"])
    age_appropriate: str | None = Field(examples=["3-5"])


class UnitLink(BaseModel):
    """A unit beside another."""

    id: int
    title: str
    url: str


class Unit(_Timed, _Row):
    """A unit of a subject."""

    subject: str = Field(examples=["science"])
    grade_level: str = Field(examples=["K"])
    unit_title: str = Field(examples=["Spiders and their webs"])
    lesson_sequence: int = Field(examples=[2])
    learning_objectives: Any = _stored(["Tells why a spider spins a web"])
    content_structure: Any = _stored(["story", "experiment"])
    assessment_criteria: Any = _stored(["Names three parts of a spider"])
    resources: Any = _stored([7])
    difficulty_progression: str | None = Field(examples=["beginner"])
    estimated_duration: int | None = Field(description="Minutes.", examples=[30])
    previous: UnitLink | None = Field(
        description="The unit before, in the same subject and grade level.", examples=[_BEFORE]
    )
    next: UnitLink | None = Field(description="The unit after, in the same subject and grade level.", examples=[_AFTER])


@dataclass(frozen=True)
class Replies:
    """What the routes of a resource answer."""

    listed: type[BaseModel]
    single: type[BaseModel]
    created: type[BaseModel]
    updated: type[BaseModel]
    deleted: type[BaseModel]


def replies_with(row: type[BaseModel], one: str, many: str, filters: Mapping[str, FieldInfo]) -> Replies:
    """The answers around `row`, under the keys `one` and `many`; `filters`: what asks for each."""
    applied = _model(f"{row.__name__}Filters", "The filters that were applied, null where none.", _asked(filters))
    page = {many: list[row], "filters_applied": applied, "pagination": Pagination}  # type: ignore[valid-type]
    number = Annotated[int, Field(examples=[5])]

    def said(done: str) -> Any:
        return Annotated[str, Field(examples=[f"{one.capitalize()} {done} successfully"])]

    created, updated = {"message": said("created"), "id": number, one: row}, {"message": said("updated"), one: row}
    deleted = {"message": said("deleted"), "id": number}
    return Replies(
        listed=_model(f"{row.__name__}List", f"A page of the {many}.", page),
        single=_model(f"{row.__name__}Reply", f"One {one}.", {one: row}),
        created=_model(f"{row.__name__}Created", f"The {one} that was made.", created),
        updated=_model(f"{row.__name__}Updated", f"The {one} as it is now.", updated),
        deleted=_model(f"{row.__name__}Deleted", f"Which {one} was deleted.", deleted),
    )


def _asked(filters: Mapping[str, FieldInfo]) -> dict[str, Any]:
    return {name: Annotated[asked.annotation, Field(examples=asked.examples)] for name, asked in filters.items()}


def _model(name: str, told: str, fields: dict[str, Any]) -> type[BaseModel]:
    required: dict[str, Any] = {field: (kind, ...) for field, kind in fields.items()}
    return create_model(name, __doc__=told, **required)
