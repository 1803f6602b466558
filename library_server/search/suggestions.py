"""Titles as one types: those that begin so, then those with a word that begins so, then those that nearly do."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, func, select

from library_server.actor import Actor
from library_server.catalog.models import ContentItem
from library_server.catalog.visibility import visible
from library_server.extensions import db
from library_server.search.asking import bounded, in_order, matches, read_query
from library_server.search.models import SearchEntry
from library_server.search.near import NearWord, near_words
from library_server.search.words import fold, is_unfinished, read, title_query

MOST = 10
# Of more titles that fit, these are looked at for the best ones: a letter alone begins every twentieth.
CONSIDERED = 1_000
_AFTER_ALL = "\U0010ffff"


def suggest(actor: Actor, q: str) -> list[ContentItem]:
    """Up to 10 items for the beginning of a title, best first. At most five statements. Raises SearchTookTooLong."""
    words = fold(q).split()
    if not words:
        return []
    with bounded():
        _, abilities = read_query(read(" ".join(words)))
        found = _best(actor, _begins(" ".join(words)), SearchEntry.title.collate("C"))
        if len(found) < MOST:
            known = {item.id for item in found}
            found += [item for item in _best(actor, _has(words)) if item.id not in known]
        if not found:
            near = near_words(words, abilities, beginnings=True)
            if all(near):
                found = _best(actor, matches(_nearly(near)))
    return found[:MOST]


def _begins(beginning: str) -> ColumnElement[bool]:
    title = SearchEntry.title.collate("C")
    return and_(title >= beginning, title < beginning + _AFTER_ALL)


def _has(words: Sequence[str]) -> ColumnElement[bool]:
    """The titles with all these words, of which the last may be unfinished."""
    *whole, last = words
    looked_up = words if is_unfinished(last) or not whole else whole
    padded = func.concat(" ", SearchEntry.title)
    return and_(matches(title_query(looked_up, last)), padded.contains(f" {last}"))


def _nearly(near: Sequence[Sequence[NearWord]]) -> str:
    groups = [" | ".join(f"'={word.word}'" for word in group) for group in near]
    return " & ".join(f"({group})" for group in groups)


def _best(actor: Actor, wanted: ColumnElement[bool], walked: ColumnElement[str] | None = None) -> list[ContentItem]:
    """The best of the first CONSIDERED entries, in the order of `walked` where it is given."""
    considered = select(SearchEntry.id, SearchEntry.download_priority, SearchEntry.popularity).where(
        wanted, visible(actor, of=SearchEntry)
    )
    entry = considered.order_by(walked).limit(CONSIDERED).subquery().c
    best = select(*entry).order_by(*in_order(entry)).limit(MOST).subquery()
    items = select(ContentItem).join(best, ContentItem.id == best.c.id).where(visible(actor))
    return list(db.session.scalars(items.order_by(*in_order(best.c))))
