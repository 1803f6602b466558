"""Words of the library that are spelt or sound nearly like others (``pg_trgm``, ``fuzzystrmatch``)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from sqlalchemy import text

from library_server.extensions import db
from library_server.search.asking import SETTINGS
from library_server.search.words import Wanted

NEAR_WORDS = 6  # at most, for each word
LEAST_CLOSENESS = 0.42
MARGIN = 0.12  # by how much a word may be farther away than the nearest
BEGUN = 0.05  # by how much a word that only begins so is farther away
LONGEST = 24  # letters; longer words are not in ``library_word``

# Words that ``library_word`` may have. Others (a number, one or two letters), like stop words, need not be there.
_TELLING = re.compile(r"\D{3,}")

# An extension may be installed where we do not look, so the functions are asked for.
_ABILITIES = text("SELECT to_regproc('similarity') IS NOT NULL, to_regproc('dmetaphone') IS NOT NULL")
_THRESHOLDS = """
    SELECT set_config('pg_trgm.similarity_threshold', '0.25', true),
           set_config('pg_trgm.word_similarity_threshold', '0.4', true);"""


@dataclass(frozen=True)
class Abilities:
    """Which functions the database has."""

    trigrams: bool
    sounds: bool


@dataclass(frozen=True)
class NearWord:
    """A word of the library; `lexeme` is what finds it in a tsvector."""

    word: str
    lexeme: str


Near = list[NearWord] | None  # of a word; None for one that says nothing of what is looked for


def abilities() -> Abilities:
    """What this database has. One statement."""
    return Abilities(*db.session.execute(_ABILITIES).one())


def near_words(words: Sequence[str], abilities: Abilities, beginnings: bool = False) -> list[Near]:
    """For each of `words` the nearest of the library, nearest first. One statement, none where it cannot be asked.

    With `beginnings` the last word may be the beginning of the library's.
    """
    found: list[Near] = [[] if _TELLING.fullmatch(word) else None for word in words]
    if not (abilities.trigrams or abilities.sounds) or not any(near is not None for near in found):
        return found
    given = {
        "words": [word[:LONGEST] for word in words],
        "beginning": len(words) if beginnings else 0,
        "least": LEAST_CLOSENESS,
        "margin": MARGIN,
        "most": NEAR_WORDS,
    }
    statement = text(SETTINGS + _THRESHOLDS + _statement(abilities))
    for place, word, lexeme in db.session.execute(statement, given):
        near = found[place - 1]
        if word is None:
            found[place - 1] = None
        elif near is not None:
            near.append(NearWord(word, lexeme))
    return found


def telling(found: Iterable[Near]) -> list[list[NearWord]]:
    """Of the words that say what is looked for."""
    return [near for near in found if near is not None]


def near_query(wanted: Wanted, found: Iterable[Near]) -> dict[str, Any]:
    """The parameters of a search for each word or one near it; empty where a word has none."""
    needed = telling(found)
    groups = [group for group in needed if group]
    if not groups or (len(groups) < len(needed) and not wanted.either):
        return {}
    lexemes = (" | ".join(_quoted(word.lexeme) for word in group) for group in groups)
    return {
        "near": (" | " if wanted.either else " & ").join(f"({group})" for group in lexemes),
        "unwanted": wanted.unwanted,
        "words": [f" {word.word}" for nearest in zip_longest(*groups) for word in nearest if word],
    }


def _quoted(lexeme: str) -> str:
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def _statement(abilities: Abilities) -> str:
    """Whole words that share trigrams or sound alike, and for the unfinished one those that begin so.

    The last row of a stop word has no word.
    """
    sources = []
    if abilities.trigrams:
        sources += ["k.word % w.word", "w.word <% k.word AND w.unfinished"]
    if abilities.sounds:
        sound = 'dmetaphone(k.word) COLLATE "C"'
        sources += [
            f"{sound} = w.sound AND w.sound <> ''",
            f"{sound} >= w.sound AND {sound} < w.sound || 'a' AND w.sound <> '' AND w.unfinished",
        ]
    candidates = " UNION ".join(f"SELECT k.word FROM library_word k WHERE {source}" for source in sources)
    return f"""
        WITH wanted AS MATERIALIZED (
          SELECT word, place, place = :beginning AS unfinished, {_sound("word", abilities)} AS sound,
                 ts_lexize('pg_catalog.english_stem', word) = '{{}}' AS stops
          FROM unnest(CAST(:words AS text[])) WITH ORDINALITY AS given (word, place)),
        near AS (
          SELECT w.place, c.word, c.closeness, max(c.closeness) OVER (PARTITION BY w.place) AS best,
                 row_number() OVER (PARTITION BY w.place ORDER BY c.closeness DESC, c.word) AS rank
          FROM wanted w CROSS JOIN LATERAL (
            SELECT word, greatest({_closeness("word", abilities)}, CASE WHEN w.unfinished
              THEN {_closeness("begun", abilities)} - {BEGUN} END) AS closeness
            FROM (SELECT word, left(word, char_length(w.word)) AS begun FROM ({candidates}) candidate) measured) c
          WHERE c.closeness >= :least)
        SELECT place, word, coalesce((ts_lexize('pg_catalog.english_stem', word))[1], '=' || word)
        FROM (SELECT place, word, rank FROM near WHERE closeness >= best - :margin AND rank <= :most
              UNION ALL SELECT place, NULL, :most + 1 FROM wanted WHERE stops) told
        ORDER BY place, rank"""


def _sound(word: str, abilities: Abilities) -> str:
    return f"dmetaphone({word})" if abilities.sounds else "''"


def _closeness(against: str, abilities: Abilities) -> str:
    """0 to 1: shared trigrams, letters to change, and whether it sounds the same (then a third of it is sure)."""
    shared = f"similarity({against}, w.word)"
    if not abilities.sounds:
        return shared
    longest = f"greatest(char_length({against}), char_length(w.word))"
    changes = f"1 - levenshtein({against}, w.word)::float8 / {longest}"
    sounds = f"CASE WHEN w.sound IN (dmetaphone({against}), dmetaphone_alt({against})) THEN 0.3 ELSE 0 END"
    return (
        f"0.7 * ({changes}) + {sounds}" if not abilities.trigrams else f"0.5 * ({changes}) + 0.2 * {shared} + {sounds}"
    )
