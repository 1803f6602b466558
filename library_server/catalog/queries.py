"""Reads of the catalogue."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute

from library_server.actor import Actor
from library_server.catalog.errors import ContentNotFound
from library_server.catalog.models import ContentItem
from library_server.catalog.visibility import Activity, states, visible
from library_server.extensions import Base, db
from library_server.lib.paging import Window
from library_server.shared import schema

MAX_ID = 2**31 - 1
COUNTS = "library_stretch"  # the table that migration 0006 keeps counts in
Facet = Literal["subject_area", "age_range", "content_type"]
Row = TypeVar("Row", bound=Base)

# Of the shelves that are chosen by this filter alone, and of what is not worked into them yet (migration 0006).
_COUNTS_BY = text("""
    SELECT value, CAST(sum(count) AS bigint) FROM (
      SELECT filters ->> :facet AS value, count FROM library_shelf JOIN library_stretch ON shelf = id
      WHERE filters <> '{}' AND filters - :facet = '{}' AND active = ANY (:states)
      UNION ALL
      SELECT filters ->> :facet, sign * cardinality(ids) FROM library_moved JOIN library_kind k ON k.id = kind
      WHERE active = ANY (:states)) counted
    GROUP BY value HAVING sum(count) <> 0 ORDER BY value
""")
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
) -> tuple[Sequence[Any], int]:
    """The items in `window`, as rows with an item's columns, and how many there are in all.

    The time does not grow with the library, but with `q`, or before the migration that counts, every item is read.
    """
    wanted = visible(actor, active)
    asked = {name: value for name, value in filters.items() if value is not None}
    if q or not schema.columns(COUNTS):
        chosen = (getattr(ContentItem, name) == value for name, value in asked.items())
        return find_page(ContentItem, and_(wanted, *chosen, *([_contains(q)] if q else [])), _ORDER, window)
    given = {"asked": asked, "states": states(active), "skip": window.offset, "most": window.limit}
    rows = db.session.execute(_counted_page(wanted), given).all()
    return [row for row in rows if row.id is not None], rows[0].total


@cache
def _counted_page(wanted: ColumnElement[bool]) -> Select[Any]:
    """The items of the page that ``library_page`` (migration 0006) finds, each beside the total; at least one row."""
    item = ContentItem.__table__
    page = func.library_page(
        bindparam("asked", type_=JSONB),
        bindparam("states", type_=ARRAY(Boolean)),
        bindparam("skip", type_=BigInteger),
        bindparam("most", type_=Integer),
    ).table_valued(column("total", BigInteger), column("ids", ARRAY(BigInteger)), name="page")
    place = (
        func.unnest(page.c.ids)
        .table_valued(column("id", BigInteger), with_ordinality="number", name="place")
        .render_derived()
    )
    return (
        select(page.c.total, *item.columns)
        .select_from(page.outerjoin(place, true()).outerjoin(item, and_(item.c.id == place.c.id, wanted)))
        .order_by(place.c.number)
    )


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
    if schema.columns(COUNTS):
        rows = db.session.execute(_COUNTS_BY, {"facet": facet, "states": states("true")}).all()
    else:
        chosen: InstrumentedAttribute[str] = getattr(ContentItem, facet)
        counted = select(chosen, func.count()).where(visible(actor)).group_by(chosen).order_by(chosen)
        rows = db.session.execute(counted).all()
    return {value: count for value, count in rows}  # noqa: C416 (mypy does not take Row for a pair)
