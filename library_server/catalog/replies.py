"""The catalogue's answers, for the API's description (tests hold every answer against it)."""

from typing import Any

from pydantic import BaseModel, Field


class Item(BaseModel):
    """One item of the library."""

    content_id: int
    title: str
    description: str | None
    content_type: str
    subject_area: str
    age_range: str
    difficulty_level: str | None
    skill_objectives: Any = Field(description="A list or an object, as stored.")
    prerequisite_skills: Any = Field(description="A list or an object, as stored.")
    content_metadata: Any = Field(description="An object.")
    file_path: str | None = Field(description="Relative to the content folder.")
    file_url: str | None = Field(description="Where the file is served.")
    download_priority: int | None = Field(description="1 is the highest.")
    active: bool
    usage_count: int
    average_completion_time: int | None = Field(description="Seconds.")
    success_rate: int | None = Field(description="Percent.")
    created_at: str | None = Field(description="UTC, ISO 8601 without a zone.")
    updated_at: str | None = Field(description="UTC, ISO 8601 without a zone.")


class Pagination(BaseModel):
    """Where in the list the page is."""

    page: int
    per_page: int
    total: int
    pages: int
    has_next: bool
    has_prev: bool


class Filters(BaseModel):
    """The filters that were applied, null where none."""

    subject_area: str | None
    age_range: str | None
    content_type: str | None
    difficulty_level: str | None


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

    message: str
    content_id: int
    content_type: str
    subject_area: str
    content: Item


class ItemUpdated(BaseModel):
    """The item as it is now."""

    message: str
    content: Item


class ItemDeleted(BaseModel):
    """Which item was retired or deleted."""

    message: str
    content_id: int


class Subjects(BaseModel):
    """The subject areas of active items, with how many there are."""

    subjects: list[str]
    subject_counts: dict[str, int]


class AgeRanges(BaseModel):
    """The age ranges of active items, with how many there are."""

    age_ranges: list[str]
    age_range_counts: dict[str, int]


class ContentTypes(BaseModel):
    """The content types of active items, with how many there are."""

    content_types: list[str]
    content_type_counts: dict[str, int]
