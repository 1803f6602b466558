"""The curriculum in JSON: what editors send, and what is asked for."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from library_server.catalog.schemas import FilePath, ListOrObject
from library_server.web.inputs import STORABLE, WholeNumber, WindowQuery

MAX_INTEGER = 2**31 - 1

Number = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Text20 = Annotated[str, StringConstraints(min_length=1, max_length=20, strip_whitespace=True)]
Text50 = Annotated[str, StringConstraints(min_length=1, max_length=50, strip_whitespace=True)]
Text100 = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
Text200 = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Asked = Annotated[str, StringConstraints(max_length=200), STORABLE]


class Change(BaseModel):
    """What an editor may change; what is not named stays as it is."""

    model_config = ConfigDict(strict=True, extra="forbid")

    def values(self) -> dict[str, Any]:
        """The columns that are named, as they are stored."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Draft(Change):
    """A new row, or one that replaces another; what is not named is null."""

    def values(self) -> dict[str, Any]:
        """Every column an editor may set, as it is stored."""
        return dict(self)


class LessonChange(Change):
    """What an editor may change of a lesson."""

    lesson_number: Number = 0
    skill_focus: Text100 = ""
    activity_type: Text50 = ""
    content_data: ListOrObject | None = None
    audio_file_path: FilePath | None = None
    difficulty_progression: Text20 | None = None


class LessonDraft(Draft, LessonChange):
    """A lesson."""

    lesson_number: Number
    skill_focus: Text100
    activity_type: Text50


class RhymeChange(Change):
    """What an editor may change of a nursery rhyme."""

    rhyme_name: Text100 = ""
    lyrics: Annotated[str, StringConstraints(max_length=20_000)] | None = None
    audio_file_path: FilePath | None = None
    learning_objectives: ListOrObject | None = None
    motor_skills: ListOrObject | None = None
    age_appropriate: Text20 | None = None


class RhymeDraft(Draft, RhymeChange):
    """A nursery rhyme."""

    rhyme_name: Text100


class UnitChange(Change):
    """What an editor may change of a unit."""

    subject: Text50 = ""
    grade_level: Text20 = ""
    unit_title: Text200 = ""
    lesson_sequence: Number = 0
    learning_objectives: ListOrObject | None = None
    content_structure: ListOrObject | None = None
    assessment_criteria: ListOrObject | None = None
    resources: ListOrObject | None = None
    difficulty_progression: Text20 | None = None
    estimated_duration: Number | None = Field(None, description="Minutes.")


class UnitDraft(Draft, UnitChange):
    """A unit."""

    subject: Text50
    grade_level: Text20
    unit_title: Text200
    lesson_sequence: Number


class LessonQuery(WindowQuery):
    """The query of the lessons."""

    lesson_number: WholeNumber | None = None
    lesson_from: WholeNumber | None = Field(None, description="The first `lesson_number`.")
    lesson_to: WholeNumber | None = Field(None, description="The last `lesson_number`.")
    skill_focus: Asked | None = None
    activity_type: Asked | None = None


class RhymeQuery(WindowQuery):
    """The query of the nursery rhymes."""

    age_appropriate: Asked | None = None
    q: Asked | None = Field(None, description="Text that the name contains, in any case.")


class UnitQuery(WindowQuery):
    """The query of the units."""

    subject: Asked | None = None
    grade_level: Asked | None = None
