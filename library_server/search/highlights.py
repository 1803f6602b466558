"""Hits marked in texts, as HTML that is safe to show."""

import re
from collections.abc import Sequence
from html import escape

from sqlalchemy import text

from library_server.extensions import db
from library_server.search.words import fold_with_places

# Folded text has no such characters.
_START, _STOP, _NEXT = "<", ">", " | "
_LEXEMES = re.compile("'([^']+)'")
_MARKS = re.compile(f"[{_START}{_STOP}]")
_HEADLINES = text(
    "SELECT ts_headline('pg_catalog.english', :said, CAST(:query AS tsquery), "
    f'\'HighlightAll=true, StartSel="{_START}", StopSel="{_STOP}"\')'
)


def highlight(texts: Sequence[str], query: str) -> list[str]:
    """Each text as HTML, hits of the tsquery in ``<mark>``, everything else escaped. One statement.

    PostgreSQL is asked about those texts alone in which there may be a hit, and about all of these as one.
    """
    folded = [fold_with_places(said) for said in texts]
    begun = _beginnings(query)
    asked = [said for said, _ in folded if any(part in said for part in begun)]
    marked = {}
    if asked:
        told = db.session.execute(_HEADLINES, {"query": query, "said": _NEXT.join(asked)}).scalar_one()
        marked = dict(zip(asked, told.split(_NEXT), strict=False))
    return [_transfer(said, fold, marked.get(fold[0], fold[0])) for said, fold in zip(texts, folded, strict=True)]


def _beginnings(query: str) -> set[str]:
    """What a text has that has a word of the tsquery: of each lexeme all but its last letters.

    The stemmer changes no more than three at the end of what it leaves of a word (``dying`` is ``die``, ``sensibility``
    is ``sensibl``).
    """
    lexemes = _LEXEMES.findall(query)
    if "\\" in query or "''" in query:
        return {""}
    return {lexeme.lstrip("=")[: max(1, len(lexeme.lstrip("=")) - 3)] for lexeme in lexemes}


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
