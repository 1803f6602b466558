"""The answers of searching, for the API's description."""

from pydantic import BaseModel, Field

from library_server.catalog.replies import Filters, Item, Pagination


class Highlight(BaseModel):
    """HTML: escaped text, hits in `<mark>`."""

    title: str = Field(examples=["The Itsy Bitsy <mark>Spider</mark>"])
    description: str = Field(examples=["A <mark>spider</mark> climbs, is washed out by the rain and climbs again."])


class FoundItem(Item):
    """An item that was found."""

    score: float = Field(description="0 to 1; comparable within one search.", examples=[0.87])
    highlight: Highlight


class Facets(BaseModel):
    """How many there are by each value of a filter, as if that filter were off."""

    subject_area: dict[str, int] = Field(examples=[{"phonemic_awareness": 1}])
    age_range: dict[str, int] = Field(examples=[{"3-5": 1}])
    content_type: dict[str, int] = Field(examples=[{"nursery_rhyme": 1}])
    difficulty_level: dict[str, int] = Field(examples=[{"beginner": 1}])


class SearchReply(BaseModel):
    """A page of what was found."""

    query: str = Field(examples=["itsy spider"])
    fuzzy: bool = Field(
        description="Nothing has these words; these items have words spelt or sounding nearly so.", examples=[False]
    )
    content: list[FoundItem]
    filters_applied: Filters
    pagination: Pagination
    facets: Facets


class Suggestion(BaseModel):
    """A title."""

    content_id: int = Field(examples=[7])
    title: str = Field(examples=["The Itsy Bitsy Spider"])
    content_type: str = Field(examples=["nursery_rhyme"])


class Suggestions(BaseModel):
    """Up to ten titles, best first."""

    query: str = Field(examples=["itsy"])
    suggestions: list[Suggestion]
