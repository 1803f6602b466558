"""The curriculum in JSON: what editors send, and what is asked for."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from library_server.catalog.replies import FILE_PATH
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

    lesson_number: Number = Field(0, examples=[1])
    skill_focus: Text100 = Field("", examples=["rhyming"])
    activity_type: Text50 = Field("", examples=["song"])
    content_data: ListOrObject | None = Field(None, examples=[{"words": ["spider", "rider", "glider"]}])
    audio_file_path: FilePath | None = Field(None, examples=[FILE_PATH])
    difficulty_progression: Text20 | None = Field(None, examples=["beginner"])


class LessonDraft(Draft, LessonChange):
    """A lesson."""

    lesson_number: Number = Field(examples=[1])
    skill_focus: Text100 = Field(examples=["rhyming"])
    activity_type: Text50 = Field(examples=["song"])


class RhymeChange(Change):
    """What an editor may change of a nursery rhyme."""

    rhyme_name: Text100 = Field("", examples=["The Itsy Bitsy Spider"])
    lyrics: Annotated[str, StringConstraints(max_length=20_000)] | None = Field(
        None, examples=["The itsy bitsy spider climbed up the water spout."]
    )
    audio_file_path: FilePath | None = Field(None, examples=[FILE_PATH])
    learning_objectives: ListOrObject | None = Field(None, examples=[["rhyming"]])
    motor_skills: ListOrObject | None = Field(None, examples=[["finger_play"]])
    age_appropriate: Text20 | None = Field(None, examples=["3-5"])


class RhymeDraft(Draft, RhymeChange):
    """A nursery rhyme."""

    rhyme_name: Text100 = Field(examples=["The Itsy Bitsy Spider"])


class UnitChange(Change):
    """What an editor may change of a unit."""

    subject: Text50 = Field("", examples=["science"])
    grade_level: Text20 = Field("", examples=["K"])
    unit_title: Text200 = Field("", examples=["Spiders and their webs"])
    lesson_sequence: Number = Field(0, examples=[2])
    learning_objectives: ListOrObject | None = Field(None, examples=[["Tells why a spider spins a web"]])
    content_structure: ListOrObject | None = Field(None, examples=[["story", "experiment"]])
    assessment_criteria: ListOrObject | None = Field(None, examples=[["Names three parts of a spider"]])
    resources: ListOrObject | None = Field(None, examples=[[7]])
    difficulty_progression: Text20 | None = Field(None, examples=["beginner"])
    estimated_duration: Number | None = Field(None, description="Minutes.", examples=[30])


class UnitDraft(Draft, UnitChange):
    """A unit."""

    subject: Text50 = Field(examples=["science"])
    grade_level: Text20 = Field(examples=["K"])
    unit_title: Text200 = Field(examples=["Spiders and their webs"])
    lesson_sequence: Number = Field(examples=[2])


class LessonQuery(WindowQuery):
    """The query of the lessons."""

    lesson_number: WholeNumber | None = Field(None, examples=[1])
    lesson_from: WholeNumber | None = Field(None, description="The first `lesson_number`.", examples=[1])
    lesson_to: WholeNumber | None = Field(None, description="The last `lesson_number`.", examples=[5])
    skill_focus: Asked | None = Field(None, examples=["rhyming"])
    activity_type: Asked | None = Field(None, examples=["song"])


class RhymeQuery(WindowQuery):
    """The query of the nursery rhymes."""

    age_appropriate: Asked | None = Field(None, examples=["3-5"])
    q: Asked | None = Field(None, description="Text that the name contains, in any case.", examples=["spider"])


class UnitQuery(WindowQuery):
    """The query of the units."""

    subject: Asked | None = Field(None, examples=["science"])
    grade_level: Asked | None = Field(None, examples=["K"])
