"""Search: what is found, how it is ordered, and how many there are by each filter."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import JSON, ColumnElement, Float, Text, TextualSelect, column, text

from library_server.actor import Actor
from library_server.catalog.models import ContentItem
from library_server.catalog.schemas import FILTERS
from library_server.catalog.visibility import Activity, visible
from library_server.extensions import db
from library_server.lib import json
from library_server.lib.paging import Window
from library_server.search.asking import TIMEOUT, as_sql, bounded
from library_server.search.near import abilities, near_query, near_words
from library_server.search.words import Wanted, is_unfinished, read, title_query

# As many are ordered by the whole of their text; of more, the first by title, priority and popularity.
RANKED = 200

# What is looked for: the words that are typed, or those near them but for what is not wanted.
_EXACTLY = "library_query(:web, :last, :beginning, :title)"
_NEARLY = "CAST(:near AS tsquery) && websearch_to_tsquery('pg_catalog.english', :unwanted)"
# The counts come with the first row, and one row comes where nothing is found. Whether an item may be seen is asked of
# the items themselves once more.
_FIND = (
    TIMEOUT
    + """
    SELECT CAST(query AS text) AS query, CASE WHEN number > 1 THEN NULL ELSE counts END AS counts, score, {items}
    FROM (SELECT {asked} AS query OFFSET 0) asked
    CROSS JOIN library_find(query, CAST(:words AS text[]), CAST(:state AS boolean), CAST(:chosen AS jsonb),
                            :ranked, :offset, :limit) found
    LEFT JOIN unnest(ids, scores) WITH ORDINALITY AS page (id, score, number) ON true
    LEFT JOIN content_library ON content_library.id = page.id AND {seen} ORDER BY number"""
)
_COLUMNS = (column("query", Text), column("counts", JSON), column("score", Float), *ContentItem.__table__.c)
_ITEMS = ", ".join(f"content_library.{each.name}" for each in ContentItem.__table__.c)


@dataclass(frozen=True)
class Found:
    """What a search found: the page's items with their scores, how many there are in all, the facets.

    `query` is the tsquery that found it, and `fuzzy` says that it is of near spellings.
    """

    query: str = ""
    fuzzy: bool = False
    items: Sequence[tuple[Any, float]] = ()  # rows with the attributes of a ContentItem
    total: int = 0
    facets: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: {name: {} for name in FILTERS})


@dataclass(frozen=True)
class _Hits:
    """The tsquery; how many hits have these values of the filters, for each such; items and scores of the page."""

    query: str
    counts: Sequence[tuple[Mapping[str, str | None], int]]
    page: Sequence[tuple[Any, float]]


def search(actor: Actor, q: str, filters: Mapping[str, str | None], window: Window, active: Activity = "true") -> Found:
    """What `actor` finds with `q`. One statement, four for near spellings, however much there is.

    Raises SearchTookTooLong; ParentRequired or EditorRequired where `active` is not for `actor`.
    """
    seen = visible(actor, active)
    wanted = read(q)
    if not wanted.web:
        return Found()
    given = {
        "state": None if active == "all" else active,
        "chosen": json.encode({name: value for name, value in filters.items() if value is not None}).decode(),
        "ranked": RANKED,
        "offset": window.offset,
        "limit": window.limit,
    }
    with bounded():
        hits = _hits(_EXACTLY, seen, given | _exact(wanted))
        fuzzy = not hits.counts
        if fuzzy:
            found = near_words(wanted.words, abilities())
            if near := near_query(wanted, found):
                hits = _hits(_NEARLY, seen, given | near)
    total, facets = _facets(hits.counts, filters)
    return Found(
        query=hits.query,
        fuzzy=fuzzy and bool(hits.counts),
        items=hits.page,
        total=total,
        facets=facets,
    )


def _hits(asked: str, seen: ColumnElement[bool], given: Mapping[str, Any]) -> _Hits:
    rows = db.session.execute(_find(asked, seen), given).all()
    return _Hits(rows[0].query, rows[0].counts or (), [(row, row.score) for row in rows if row.id is not None])


@cache
def _find(asked: str, seen: ColumnElement[bool]) -> TextualSelect:
    """The items that ``library_find`` (migration 0003) finds, each beside its score; at least one row."""
    return text(_FIND.format(asked=asked, seen=as_sql(seen), items=_ITEMS)).columns(*_COLUMNS)


def _exact(wanted: Wanted) -> dict[str, Any]:
    """The parameters of the words that are typed."""
    open_ended = is_unfinished(wanted.last)
    return {
        "web": wanted.web,
        "last": wanted.last if open_ended else "",
        "beginning": f"'{wanted.last}':* | '={wanted.last}':*" if open_ended else "",
        "title": title_query(wanted.words, wanted.last),
        "words": [f" {word}" for word in wanted.words],
    }


def _facets(
    counts: Iterable[tuple[Mapping[str, str | None], int]], filters: Mapping[str, str | None]
) -> tuple[int, dict[str, dict[str, int]]]:
    """How many there are with all filters, and for each filter's values how many with the others alone."""
    total, facets = 0, {name: Counter[str]() for name in FILTERS}
    for values, count in counts:
        missed = [name for name in FILTERS if filters[name] not in (None, values[name])]
        if not missed:
            total += count
        for name, value in values.items():
            if value is not None and missed in ([], [name]):
                facets[name][value] += count
    return total, {
        name: dict(sorted(found.items(), key=lambda one: (-one[1], one[0]))) for name, found in facets.items()
    }
