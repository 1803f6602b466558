"""What is typed, taken apart: its words without accents and case, and its operators."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

SHORTEST_PREFIX = 3  # letters; the beginnings of words that are shorter are in every other item
LONGEST = 100  # letters of a word that are looked for, as titles are indexed; folded, one may become eighteen
_APOSTROPHES = "'\u2018\u2019\u02bc"
_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ı": "i"})
_ASCII = str.maketrans({chr(code): chr(code).lower() if chr(code).isalnum() else " " for code in range(128)})
_TERM = re.compile(r'(-?)(?:"([^"]*)"?|([^\s"]+))')


@dataclass(frozen=True)
class Wanted:
    """A search: `web` in the syntax of ``websearch_to_tsquery``, of words, quotes, minus signs and "or" alone.

    `words` are those that an item should have; `last` is the one that may be unfinished; `unwanted` is the part of
    `web` with minus signs; `either` says that there is an "or".
    """

    web: str
    words: tuple[str, ...]
    last: str
    unwanted: str
    either: bool


def read(q: str) -> Wanted:
    """What `q` asks for."""
    terms: list[str] = []
    words: list[str] = []
    unwanted: list[str] = []
    last, either = "", False
    for minus, phrase, word in _TERM.findall(q):
        parts = words_of(phrase or word)
        if not parts:
            continue
        last = ""
        if minus:
            unwanted.append(f'-"{" ".join(parts)}"')
            terms.append(unwanted[-1])
        elif phrase:
            terms.append(f'"{" ".join(parts)}"')
            words += parts
        else:
            terms += parts
            last = parts[-1]
            either = either or parts == ["or"]
            words += [part for part in parts if part != "or"]
    return Wanted(" ".join(terms), tuple(dict.fromkeys(words)), last, " ".join(unwanted), either)


def words_of(text: str) -> list[str]:
    """The words of `text`, folded."""
    return [word[:LONGEST] for word in fold(text).split()]


def fold(text: str) -> str:
    """`text` in lower case without accents, apostrophes and punctuation, as ``library_fold`` in the database does."""
    return fold_with_places(text)[0]


def fold_with_places(text: str) -> tuple[str, Sequence[int]]:
    """`text` folded, and for each character of that its place in `text`."""
    if text.isascii() and "'" not in text:  # most are; this is much quicker
        return text.translate(_ASCII), range(len(text))
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for folded in _fold(character):
            characters.append(folded)
            places.append(place)
    return "".join(characters), places


@lru_cache(4096)
def _fold(character: str) -> str:
    if character in _APOSTROPHES:
        return ""
    plain = unicodedata.normalize("NFKD", character).lower().translate(_LETTERS)
    return "".join(
        one if one.isalnum() or unicodedata.category(one).startswith("M") else " "
        for one in plain
        if not "\u0300" <= one <= "\u036f"
    )


def is_unfinished(word: str) -> bool:
    """Whether a last word may be the beginning of a longer one."""
    return len(word) >= SHORTEST_PREFIX and not word.isdigit()


def title_query(words: Sequence[str], last: str = "") -> str:
    """A tsquery for titles with all these words as they are written; `last` may be unfinished."""
    return " & ".join(f"'={word}'{':*' if word == last and is_unfinished(word) else ''}" for word in words)
