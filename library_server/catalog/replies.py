"""The catalogue's answers, for the API's description (tests hold every answer against it). Examples tell one story."""

from typing import Any

from pydantic import BaseModel, Field

FILE_PATH = "audio/itsy-bitsy-spider-3f2a9c1e.mp3"
FILE_URL = f"/content/{FILE_PATH}?expires=1767610800&signature=9d5c2e0b7a41"
TIME = "2026-01-05T10:00:00"


class Item(BaseModel):
    """One item of the library."""

    content_id: int = Field(examples=[7])
    title: str = Field(examples=["The Itsy Bitsy Spider"])
    description: str | None = Field(examples=["A spider climbs, is washed out by the rain and climbs again."])
    content_type: str = Field(examples=["nursery_rhyme"])
    subject_area: str = Field(examples=["phonemic_awareness"])
    age_range: str = Field(examples=["3-5"])
    difficulty_level: str | None = Field(examples=["beginner"])
    skill_objectives: Any = Field(description="A list or an object, as stored.", examples=[["rhyming"]])
    prerequisite_skills: Any = Field(description="A list or an object, as stored.", examples=[[]])
    content_metadata: Any = Field(description="An object.", examples=[{"week": 1}])
    file_path: str | None = Field(description="Relative to the content folder.", examples=[FILE_PATH])
    file_url: str | None = Field(description="Where the file is served.", examples=[FILE_URL])
    download_priority: int | None = Field(description="1 is the highest.", examples=[1])
    active: bool = Field(examples=[True])
    usage_count: int = Field(examples=[42])
    average_completion_time: int | None = Field(description="Seconds.", examples=[180])
    success_rate: int | None = Field(description="Percent.", examples=[91])
    created_at: str | None = Field(description="UTC, ISO 8601 without a zone.", examples=[TIME])
    updated_at: str | None = Field(description="UTC, ISO 8601 without a zone.", examples=[TIME])


class Pagination(BaseModel):
    """Where in the list the page is."""

    page: int = Field(examples=[1])
    per_page: int = Field(examples=[20])
    total: int = Field(examples=[1])
    pages: int = Field(examples=[1])
    has_next: bool = Field(examples=[False])
    has_prev: bool = Field(examples=[False])


class Filters(BaseModel):
    """The filters that were applied, null where none."""

    subject_area: str | None = Field(examples=["phonemic_awareness"])
    age_range: str | None = Field(examples=["3-5"])
    content_type: str | None = Field(examples=["nursery_rhyme"])
    difficulty_level: str | None = Field(examples=["beginner"])


class ItemList(BaseModel):
    """A page of the library."""

    content: list[Item]
    filters_applied: Filters
    pagination: Pagination


class ItemReply(BaseModel):
    """One item."""

    content: Item


class ItemCreated(BaseModel):
    """The item that was made."""

    message: str = Field(examples=["Content created successfully"])
    content_id: int = Field(examples=[7])
    content_type: str = Field(examples=["nursery_rhyme"])
    subject_area: str = Field(examples=["phonemic_awareness"])
    content: Item


class ItemUpdated(BaseModel):
    """The item as it is now."""

    message: str = Field(examples=["Content updated successfully"])
    content: Item


class ItemDeleted(BaseModel):
    """Which item was retired or deleted."""

    message: str = Field(examples=["Content retired successfully"])
    content_id: int = Field(examples=[7])


class Subjects(BaseModel):
    """The subject areas of active items, with how many there are."""

    subjects: list[str] = Field(examples=[["math", "phonemic_awareness"]])
    subject_counts: dict[str, int] = Field(examples=[{"math": 31, "phonemic_awareness": 12}])


class AgeRanges(BaseModel):
    """The age ranges of active items, with how many there are."""

    age_ranges: list[str] = Field(examples=[["3-5", "6-8"]])
    age_range_counts: dict[str, int] = Field(examples=[{"3-5": 28, "6-8": 15}])


class ContentTypes(BaseModel):
    """The content types of active items, with how many there are."""

    content_types: list[str] = Field(examples=[["nursery_rhyme", "story"]])
    content_type_counts: dict[str, int] = Field(examples=[{"nursery_rhyme": 12, "story": 31}])
