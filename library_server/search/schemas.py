"""Searches in JSON: what is asked for, what is found."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints

from library_server.catalog.models import ContentItem
from library_server.catalog.schemas import ListQuery, dump_item, title_of
from library_server.search.highlights import highlight
from library_server.search.queries import Found
from library_server.web.inputs import STORABLE

Words = Annotated[str, StringConstraints(max_length=200), STORABLE]


class SearchQuery(ListQuery):
    """The query of a search: words, and a list's filters and window."""

    q: Words = Field(
        description='Words, "exact phrases", -without, or; the last word may be unfinished.', examples=["itsy spider"]
    )


class SuggestQuery(BaseModel):
    """The query of suggestions."""

    q: Words = Field(description="The beginning of a title, or of a word in it.", examples=["itsy"])


def dump_found(found: Found) -> list[dict[str, Any]]:
    """The items of the page, each with its `score` and `highlight`."""
    items = [dump_item(item) | {"score": score} for item, score in found.items]
    texts = [item[name] or "" for item in items for name in ("title", "description")]
    marked = iter(highlight(texts, found.query) if texts else [])
    for item in items:
        item["highlight"] = {"title": next(marked), "description": next(marked)}
    return items


def dump_suggestion(item: ContentItem) -> dict[str, Any]:
    """A title, and whose it is."""
    return {"content_id": item.id, "title": title_of(item), "content_type": item.content_type}
