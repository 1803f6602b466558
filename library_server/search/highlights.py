"""Hits marked in texts, as HTML that is safe to show."""

import re
from collections.abc import Sequence
from html import escape

from sqlalchemy import text

from library_server.extensions import db
from library_server.search.words import fold_with_places

# Folded text has no such characters.
_START, _STOP = "<", ">"
_MARKS = re.compile(f"[{_START}{_STOP}]")
_HEADLINES = text(
    "SELECT ts_headline('pg_catalog.english', said, CAST(:query AS tsquery), "
    f'\'HighlightAll=true, StartSel="{_START}", StopSel="{_STOP}"\') '
    "FROM unnest(CAST(:texts AS text[])) WITH ORDINALITY AS page (said, place) ORDER BY place"
)


def highlight(texts: Sequence[str], query: str) -> list[str]:
    """Each text as HTML, hits of the tsquery in ``<mark>``, everything else escaped. One statement."""
    folded = [fold_with_places(said) for said in texts]
    marked = db.session.scalars(_HEADLINES, {"query": query, "texts": [said for said, _ in folded]})
    return [_transfer(*each) for each in zip(texts, folded, marked, strict=True)]


def _transfer(said: str, folded: tuple[str, Sequence[int]], marked: str) -> str:
    """`said` with the marks that `marked` has, which is its folded text."""
    plain, places = folded
    parts = _MARKS.split(marked)  # by turns outside and inside
    if "".join(parts) != plain:
        return escape(said)  # PostgreSQL leaves out words of thousands of letters
    pieces, position, done = [], 0, 0
    for number, part in enumerate(parts):
        position += len(part)
        if number % 2 == 0:
            end = places[position] if position < len(places) else len(said)
            pieces.append(escape(said[done:end]))
        else:
            end = places[position - 1] + 1
            pieces.append(f"<mark>{escape(said[done:end])}</mark>")
        done = end
    return "".join(pieces)
