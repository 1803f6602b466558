"""Hits marked in texts, as HTML that is safe to show."""

from collections.abc import Sequence
from html import escape

from sqlalchemy import text

from library_server.extensions import db
from library_server.search.words import fold_with_places

# Folded text has no such characters.
_START, _STOP = "<", ">"
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


def _transfer(said: str, folded: tuple[str, list[int]], marked: str) -> str:
    """`said` with the marks that `marked` has, which is its folded text."""
    plain, places = folded
    if marked.replace(_START, "").replace(_STOP, "") != plain:
        return escape(said)  # PostgreSQL leaves out words of thousands of letters
    pieces, position, done = [], 0, 0
    for character in marked:
        if character == _START:
            pieces.append(escape(said[done : places[position]]))
            done = places[position]
        elif character == _STOP:
            end = places[position - 1] + 1
            pieces.append(f"<mark>{escape(said[done:end])}</mark>")
            done = end
        else:
            position += 1
    return "".join([*pieces, escape(said[done:])])
