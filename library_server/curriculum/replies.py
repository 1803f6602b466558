"""The curriculum's answers, for the API's description (tests hold every answer against it)."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, create_model

from library_server.catalog.replies import Pagination

_STORED: Any = Field(description="A list or an object, as stored.")
_PATH: Any = Field(description="Relative to the content folder.")
_URL: Any = Field(description="Where the recording is served.")


class _Row(BaseModel):
    id: int


class _Timed(BaseModel):
    created_at: str | None = Field(description="UTC, ISO 8601 without a zone.")
    updated_at: str | None = Field(description="UTC, ISO 8601 without a zone.")


class Lesson(_Timed, _Row):
    """A phonemic-awareness lesson."""

    lesson_number: int
    skill_focus: str
    activity_type: str
    content_data: Any = _STORED
    audio_file_path: str | None = _PATH
    audio_url: str | None = _URL
    difficulty_progression: str | None


class Rhyme(_Timed, _Row):
    """A nursery rhyme."""

    rhyme_name: str
    lyrics: str | None
    audio_file_path: str | None = _PATH
    audio_url: str | None = _URL
    learning_objectives: Any = _STORED
    motor_skills: Any = _STORED
    age_appropriate: str | None


class UnitLink(BaseModel):
    """A unit beside another."""

    id: int
    title: str
    url: str


class Unit(_Timed, _Row):
    """A unit of a subject."""

    subject: str
    grade_level: str
    unit_title: str
    lesson_sequence: int
    learning_objectives: Any = _STORED
    content_structure: Any = _STORED
    assessment_criteria: Any = _STORED
    resources: Any = _STORED
    difficulty_progression: str | None
    estimated_duration: int | None = Field(description="Minutes.")
    previous: UnitLink | None = Field(description="The unit before, in the same subject and grade level.")
    next: UnitLink | None = Field(description="The unit after, in the same subject and grade level.")


class RowDeleted(BaseModel):
    """What was deleted."""

    message: str
    id: int


@dataclass(frozen=True)
class Replies:
    """What the routes of a resource answer."""

    listed: type[BaseModel]
    single: type[BaseModel]
    created: type[BaseModel]
    updated: type[BaseModel]


def replies_with(row: type[BaseModel], one: str, many: str, filters: dict[str, Any]) -> Replies:
    """The answers around `row`, under the keys `one` and `many`; `filters`: their types by name."""
    applied = _model(f"{row.__name__}Filters", "The filters that were applied, null where none.", filters)
    page = {many: list[row], "filters_applied": applied, "pagination": Pagination}  # type: ignore[valid-type]
    return Replies(
        listed=_model(f"{row.__name__}List", f"A page of the {many}.", page),
        single=_model(f"{row.__name__}Reply", f"One {one}.", {one: row}),
        created=_model(f"{row.__name__}Created", f"The {one} that was made.", {"message": str, "id": int, one: row}),
        updated=_model(f"{row.__name__}Updated", f"The {one} as it is now.", {"message": str, one: row}),
    )


def _model(name: str, told: str, fields: dict[str, Any]) -> type[BaseModel]:
    required: dict[str, Any] = {field: (kind, ...) for field, kind in fields.items()}
    return create_model(name, __doc__=told, **required)
