"""Reads of the catalogue."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from sqlalchemy import ColumnElement, String, and_, case, cast, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from library_server.actor import Actor
from library_server.catalog.errors import ContentNotFound
from library_server.catalog.models import ContentItem
from library_server.catalog.visibility import Activity, visible
from library_server.extensions import Base, db
from library_server.lib.paging import Window

MAX_ID = 2**31 - 1
Facet = Literal["subject_area", "age_range", "content_type"]
Row = TypeVar("Row", bound=Base)

_ORDER = (ContentItem.download_priority, ContentItem.id)


def get_item(actor: Actor, item_id: int, active: Activity = "true") -> ContentItem:
    """The item, if `actor` may see it. Raises ContentNotFound."""
    wanted = visible(actor, active)
    item = None
    if 0 < item_id <= MAX_ID:
        item = db.session.scalar(select(ContentItem).where(ContentItem.id == item_id, wanted))
    if item is None:
        raise ContentNotFound
    return item


def list_items(
    actor: Actor,
    filters: Mapping[str, str | None],
    window: Window,
    q: str | None = None,
    active: Activity = "true",
) -> tuple[list[ContentItem], int]:
    """The items in `window` and how many there are in all. Two statements, whatever the size."""
    wanted = and_(
        visible(actor, active),
        *(getattr(ContentItem, name) == value for name, value in filters.items() if value is not None),
        *([_contains(q)] if q else []),
    )
    return find_page(ContentItem, wanted, _ORDER, window)


def find_page(
    model: type[Row], wanted: ColumnElement[bool], order: tuple[InstrumentedAttribute[Any], ...], window: Window
) -> tuple[list[Row], int]:
    """The rows in `window` and how many are `wanted` in all, by the columns `order`, the last of which is the key.

    What is missing comes last: PostgreSQL's own order, so that one index serves both directions.
    """
    total = db.session.scalar(select(func.count()).select_from(model).where(wanted)) or 0
    return _page(model, wanted, order, window, total), total


def _page(
    model: type[Row],
    wanted: ColumnElement[bool],
    order: tuple[InstrumentedAttribute[Any], ...],
    window: Window,
    total: int,
) -> list[Row]:
    """The rows of one page, found from the nearer end of the list: at most half of it is walked.

    The walk reads an index alone (the inner select); only the page's own rows are fetched.
    """
    key = order[-1]
    count = min(window.limit, total - window.offset)
    if count <= 0:
        return []
    from_the_end = total - window.offset - count
    backwards = from_the_end < window.offset
    keys = (
        select(key)
        .where(wanted)
        .order_by(*(column.desc() if backwards else column.asc() for column in order))
        .offset(from_the_end if backwards else window.offset)
        .limit(count)
        .subquery()
    )
    page = select(model).join(keys, key == keys.c.id).order_by(*(column.asc() for column in order))
    return list(db.session.scalars(page))


def _contains(q: str) -> ColumnElement[bool]:
    untitled = func.coalesce(ContentItem.title, "") == ""
    metadata = cast(ContentItem.content_metadata, String)
    # PostgreSQL cannot extract from JSON that holds NUL or half a surrogate pair anywhere
    told = case(
        (metadata.regexp_match(r"\\u(0000|d[89a-f])", "i"), metadata),
        else_=ContentItem.content_metadata["title"].as_string(),
    )
    return or_(
        ContentItem.title.icontains(q, autoescape=True),
        ContentItem.description.icontains(q, autoescape=True),
        and_(untitled, told.icontains(q, autoescape=True)),
    )


def count_by(actor: Actor, facet: Facet) -> dict[str, int]:
    """How many items `actor` sees by each value of a column, in the values' order."""
    column: InstrumentedAttribute[str] = getattr(ContentItem, facet)
    rows = db.session.execute(
        select(column, func.count()).where(visible(actor)).group_by(column).order_by(column)
    ).all()
    return {value: count for value, count in rows}  # noqa: C416 (mypy does not take Row for a pair)
