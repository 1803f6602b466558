"""The answers of searching, for the API's description."""

from pydantic import BaseModel, Field

from library_server.catalog.replies import Filters, Item, Pagination


class Highlight(BaseModel):
    """HTML: escaped text, hits in `<mark>`."""

    title: str
    description: str


class FoundItem(Item):
    """An item that was found."""

    score: float = Field(description="0 to 1; comparable within one search.")
    highlight: Highlight


class Facets(BaseModel):
    """How many there are by each value of a filter, as if that filter were off."""

    subject_area: dict[str, int]
    age_range: dict[str, int]
    content_type: dict[str, int]
    difficulty_level: dict[str, int]


class SearchReply(BaseModel):
    """A page of what was found."""

    query: str
    fuzzy: bool = Field(description="Nothing has these words; these items have words spelt or sounding nearly so.")
    content: list[FoundItem]
    filters_applied: Filters
    pagination: Pagination
    facets: Facets


class Suggestion(BaseModel):
    """A title."""

    content_id: int
    title: str
    content_type: str


class Suggestions(BaseModel):
    """Up to ten titles, best first."""

    query: str
    suggestions: list[Suggestion]
