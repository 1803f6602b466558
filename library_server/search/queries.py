"""Search: what is found, how it is ordered, and how many there are by each filter."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select

from library_server.actor import Actor
from library_server.catalog.models import ContentItem
from library_server.catalog.schemas import FILTERS
from library_server.catalog.visibility import Activity, visible
from library_server.extensions import db
from library_server.lib.paging import Window
from library_server.search.asking import (
    as_tsquery,
    bounded,
    in_order,
    matches,
    near_query,
    read_query,
    words_in_title,
)
from library_server.search.models import SearchEntry
from library_server.search.near import near_words
from library_server.search.words import read

# As many are ordered by the whole of their text; of more, the first by title, priority and popularity.
RANKED = 1_000


@dataclass(frozen=True)
class Found:
    """What a search found: the page's items with their scores, how many there are in all, the facets.

    `query` is the tsquery that found it, and `fuzzy` says that it is of near spellings.
    """

    query: str = ""
    fuzzy: bool = False
    items: Sequence[tuple[ContentItem, float]] = ()
    total: int = 0
    facets: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: {name: {} for name in FILTERS})


def search(actor: Actor, q: str, filters: Mapping[str, str | None], window: Window, active: Activity = "true") -> Found:
    """What `actor` finds with `q`. At most six statements, however much there is.

    Raises SearchTookTooLong; ParentRequired or EditorRequired where `active` is not for `actor`.
    """
    shown = visible(actor, active, SearchEntry)
    wanted = read(q)
    if not wanted.web:
        return Found()
    with bounded():
        query, abilities = read_query(wanted)
        groups = [[word] for word in wanted.words]
        counts = _counts(and_(matches(query), shown)) if query else []
        fuzzy = not counts
        if fuzzy:
            near = near_words(wanted.words, abilities)
            query, groups = near_query(wanted, near), [[word.word for word in group] for group in near]
            counts = _counts(and_(matches(query), shown)) if query else []
        if not counts:
            return Found()
        total, facets = _facets(counts, filters)
        chosen = [getattr(SearchEntry, name) == value for name, value in filters.items() if value is not None]
        items = _page(and_(matches(query), shown, *chosen), visible(actor, active), query, groups, window, total)
    return Found(query, fuzzy, items, total, facets)


def _counts(found: ColumnElement[bool]) -> Sequence[Any]:
    """How many are found by each combination of the filters' values, a row each, in the order of FILTERS."""
    columns = [getattr(SearchEntry, name) for name in FILTERS]
    return db.session.execute(select(*columns, func.count()).where(found).group_by(*columns)).all()


def _facets(
    counts: Iterable[Sequence[Any]], filters: Mapping[str, str | None]
) -> tuple[int, dict[str, dict[str, int]]]:
    """How many there are with all filters, and for each filter's values how many with the others alone."""
    total, facets = 0, {name: Counter[str]() for name in FILTERS}
    for *values, count in counts:
        named = dict(zip(FILTERS, values, strict=True))
        missed = [name for name, value in named.items() if filters[name] not in (None, value)]
        if not missed:
            total += count
        for name, value in named.items():
            if value is not None and missed in ([], [name]):
                facets[name][value] += count
    return total, {
        name: dict(sorted(found.items(), key=lambda one: (-one[1], one[0]))) for name, found in facets.items()
    }


def _page(
    found: ColumnElement[bool],
    seen: ColumnElement[bool],
    query: str,
    groups: Sequence[Sequence[str]],
    window: Window,
    total: int,
) -> Sequence[tuple[ContentItem, float]]:
    """The items of one page in order, with their scores. `seen` is asked of the items themselves once more."""
    if window.offset >= total:
        return []
    in_title = words_in_title(groups).label("in_title")
    hits = (
        select(SearchEntry, in_title)
        .where(found)
        .order_by(in_title.desc(), *in_order(SearchEntry))
        .limit(max(RANKED, window.offset + window.limit))
        .subquery()
    )
    place = func.row_number().over(order_by=(hits.c.in_title.desc(), *in_order(hits.c)))
    placed = select(hits.c.id, hits.c.document, place.label("place")).subquery()
    score = func.ts_rank(placed.c.document, as_tsquery(query))
    ranked = case((placed.c.place <= RANKED, score), else_=-1.0)
    page = (
        select(placed.c.id, score.label("score"), ranked.label("ranked"), placed.c.place)
        .order_by(ranked.desc(), placed.c.place)
        .offset(window.offset)
        .limit(window.limit)
        .subquery()
    )
    rows = db.session.execute(
        select(ContentItem, page.c.score)
        .join(page, ContentItem.id == page.c.id)
        .where(seen)
        .order_by(page.c.ranked.desc(), page.c.place)
    )
    return [(item, score) for item, score in rows]
