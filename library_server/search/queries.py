"""Search: what is found, how it is ordered, and how many there are by each filter."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import JSON, Boolean, Float, Text, column, text

from library_server.actor import Actor
from library_server.catalog.models import ContentItem
from library_server.catalog.schemas import FILTERS
from library_server.catalog.visibility import Activity, visible
from library_server.extensions import db
from library_server.lib.paging import Window
from library_server.search.asking import EXACTLY, NEARLY, SETTINGS, as_sql, bounded, exact, near
from library_server.search.models import SearchEntry
from library_server.search.near import ABILITIES, Abilities, near_words
from library_server.search.words import Wanted, read

# As many are ordered by the whole of their text; of more, the first by title, priority and popularity.
RANKED = 300
COUNTED_WORDS = 8  # of a search, in a title

_FAR = 1 << 22  # past every standing: a word in the title counts more
# One walk over what is found serves the counts, the order and the page. The counts come with the first row, and one
# row comes where nothing is found. Whether an item may be seen is asked of the items themselves once more.
_STATEMENT = """
    WITH {asked},
    hits AS MATERIALIZED (
      SELECT id, kind, standing - {far} * ({in_title}) AS standing
      FROM asked, library_search WHERE document @@ query AND {shown}),
    counts AS (SELECT kind, count(*) FROM hits GROUP BY kind),
    best AS (
      SELECT id, row_number() OVER () AS place FROM (
        SELECT id FROM hits WHERE {chosen} ORDER BY standing, id LIMIT :reach) ordered),
    ranked AS (SELECT id, place, {rank} AS rank FROM best),
    page AS (
      SELECT id, place, rank, row_number() OVER (ORDER BY rank DESC, place) AS number
      FROM ranked ORDER BY rank DESC, place OFFSET :offset LIMIT :limit)
    SELECT (SELECT CAST(query AS text) FROM asked),
           CASE WHEN number > :offset + 1 THEN NULL ELSE (
             SELECT json_agg(json_build_array(filters, count)) FROM counts JOIN library_kind ON library_kind.id = kind)
           END, {abilities}, {score}, {items}
    FROM (VALUES (1)) once LEFT JOIN page ON true
    LEFT JOIN content_library ON content_library.id = page.id AND {seen} ORDER BY number"""

_SCORE = "(SELECT ts_rank(document, query) FROM asked, library_search found WHERE found.id = {of}.id)"


_COLUMNS = (
    *(column("query", Text), column("counts", JSON), column("trigrams", Boolean), column("sounds", Boolean)),
    *(column("score", Float), *ContentItem.__table__.c),
)
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
    abilities: Abilities


def search(actor: Actor, q: str, filters: Mapping[str, str | None], window: Window, active: Activity = "true") -> Found:
    """What `actor` finds with `q`. One statement, three for near spellings, however much there is.

    Raises SearchTookTooLong; ParentRequired or EditorRequired where `active` is not for `actor`.
    """
    shown = as_sql(visible(actor, active, SearchEntry)), as_sql(visible(actor, active))
    wanted = read(q)
    if not wanted.web:
        return Found()
    with bounded():
        hits = _hits(EXACTLY, exact(wanted), [[word] for word in wanted.words], shown, filters, window)
        fuzzy = not hits.counts
        if fuzzy:
            hits = _nearly(wanted, hits, shown, filters, window)
    total, facets = _facets(hits.counts, filters)
    return Found(
        query=hits.query,
        fuzzy=fuzzy and bool(hits.counts),
        items=hits.page,
        total=total,
        facets=facets,
    )


def _nearly(
    wanted: Wanted, hits: _Hits, shown: tuple[str, str], filters: Mapping[str, str | None], window: Window
) -> _Hits:
    found = near_words(wanted.words, hits.abilities)
    asked = near(wanted, found)
    if not asked:
        return hits
    return _hits(NEARLY, asked, [[one.word for one in group] for group in found], shown, filters, window)


def _hits(
    asked: str,
    parameters: Mapping[str, str],
    groups: Sequence[Sequence[str]],
    shown: tuple[str, str],
    filters: Mapping[str, str | None],
    window: Window,
) -> _Hits:
    words = {
        f"word_{place}_{number}": f" {word}"
        for place, group in enumerate(groups[:COUNTED_WORDS])
        for number, word in enumerate(group)
    }
    reach = window.offset + window.limit
    far = reach > RANKED  # so that some of the page may not be ranked
    statement = SETTINGS + _STATEMENT.format(
        asked=asked,
        rank=f"CASE WHEN place <= :ranked THEN {_SCORE.format(of='best')} ELSE -1 END"
        if far
        else _SCORE.format(of="best"),
        score=f"CASE WHEN rank < 0 THEN {_SCORE.format(of='page')} ELSE rank END" if far else "rank",
        abilities=ABILITIES,
        far=_FAR,
        in_title=_words_in_title(groups[:COUNTED_WORDS]),
        shown=shown[0],
        seen=shown[1],
        items=_ITEMS,
        chosen=_chosen([name for name, value in filters.items() if value is not None]),
    )
    given = {
        **parameters,
        **words,
        **{name: value for name, value in filters.items() if value is not None},
        "ranked": RANKED,
        "reach": max(RANKED, reach),
        "offset": window.offset,
        "limit": window.limit,
    }
    rows = db.session.execute(text(statement).columns(*_COLUMNS), given).all()
    first = rows[0]
    page = [(row, row.score) for row in rows if row.id is not None]
    return _Hits(first.query, first.counts or (), page, Abilities(first.trigrams, first.sounds))


def _chosen(names: Sequence[str]) -> str:
    """The hits that have the values of these filters."""
    values = " AND ".join(f"filters ->> '{name}' = :{name}" for name in names)
    return f"kind IN (SELECT id FROM library_kind WHERE {values})" if names else "true"


def _words_in_title(groups: Sequence[Sequence[str]]) -> str:
    """How many of the groups of words have one that begins a word of the title."""
    found = (
        " OR ".join(f"strpos(' ' || title, :word_{place}_{number}) > 0" for number, _ in enumerate(group))
        for place, group in enumerate(groups)
        if group
    )
    return " + ".join(f"CAST({begun} AS integer)" for begun in found) or "0"


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
