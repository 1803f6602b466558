"""Titles as one types: those that begin so, then those with a word that begins so, then those that nearly do."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, text

from library_server.actor import Actor
from library_server.catalog.models import ContentItem
from library_server.catalog.visibility import visible
from library_server.extensions import db
from library_server.search.asking import SETTINGS, as_sql, bounded
from library_server.search.models import SearchEntry
from library_server.search.near import NearWord, abilities, near_words, telling
from library_server.search.words import is_unfinished, title_query, words_of

MOST = 10
# Of more titles that fit, these are looked at for the best ones: a letter alone begins every twentieth.
CONSIDERED = 1_000

_BEGINS = (
    'title COLLATE "C" >= :typed AND title COLLATE "C" < :typed || U&\'\\+10FFFF\' {shown} ORDER BY title COLLATE "C"'
)
_HAS = "document @@ CAST(:query AS tsquery) AND strpos(title, :last) > 0 {shown}"
_NEARLY = "document @@ CAST(:query AS tsquery) {shown}"
_BEST = """
    SELECT content_library.* FROM (
      SELECT id, standing FROM (
        SELECT id, standing FROM library_search WHERE {wanted} LIMIT :considered) considered
      ORDER BY standing, id LIMIT :most) best
    JOIN content_library USING (id) WHERE {seen} ORDER BY best.standing, best.id"""


def suggest(actor: Actor, q: str) -> list[ContentItem]:
    """Up to 10 items for the beginning of a title, best first. At most five statements. Raises SearchTookTooLong."""
    words = words_of(q)
    if not words:
        return []
    with bounded():
        found = _best(actor, _BEGINS, typed=f" {' '.join(words)}")
        if len(found) < MOST:
            *whole, last = words
            query = title_query(words if is_unfinished(last) or not whole else whole, last)
            known = {item.id for item in found}
            found += [item for item in _best(actor, _HAS, query=query, last=f" {last}") if item.id not in known]
        if not found:
            near = telling(near_words(words, abilities(), beginnings=True))
            if near and all(near):
                found = _best(actor, _NEARLY, query=_nearly(near))
    return found[:MOST]


def _nearly(near: Sequence[Sequence[NearWord]]) -> str:
    groups = [" | ".join(f"'={word.word}'" for word in group) for group in near]
    return " & ".join(f"({group})" for group in groups)


def _best(actor: Actor, wanted: str, **given: Any) -> list[ContentItem]:
    """The best of the first CONSIDERED entries."""
    statement = _BEST.format(
        wanted=wanted.format(shown=f"AND {as_sql(visible(actor, of=SearchEntry))}"), seen=as_sql(visible(actor))
    )
    parameters = {**given, "considered": CONSIDERED, "most": MOST}
    return list(db.session.scalars(select(ContentItem).from_statement(text(SETTINGS + statement)), parameters))
