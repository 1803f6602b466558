"""What others have stored, read without trust: a value that is not what it should be counts as absent."""

import math
import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import Any

from library_server.lib import json

MAX_SKILLS = 20
MAX_SKILL_LENGTH = 60
_FIRST_DAY = date(1970, 1, 1).toordinal()
STEPS = {"beginner": 0, "easy": 0, "intermediate": 1, "standard": 1, "advanced": 2, "challenging": 2}


def number(value: Any, least: float, most: float) -> float | None:
    """`value` from `least` to `most`; None where it is no finite number in that range."""
    if value is None or isinstance(value, bool | str | bytes):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if least <= found <= most else None


def whole(value: Any, least: int, most: int) -> int | None:
    """As `number`, rounded down."""
    found = number(value, least, most)
    return None if found is None else int(found)


def percent(value: Any) -> float | None:
    """A finite number, brought into 0 to 100."""
    if type(value) is float and 0 <= value <= 100:
        return value
    found = number(value, -math.inf, math.inf)
    return None if found is None or math.isinf(found) else min(max(found, 0.0), 100.0)


def day(epoch: Any) -> date | None:
    """The day (UTC) of seconds since 1970."""
    seconds = number(epoch, 0, 253_402_300_799)  # the last second of the year 9999
    return None if seconds is None else date.fromordinal(_FIRST_DAY + int(seconds // 86_400))


def step(level: Any) -> int | None:
    """0, 1 or 2 for a difficulty in either dialect."""
    if not isinstance(level, str):
        return None
    return STEPS[level] if level in STEPS else STEPS.get(level.strip().lower())


def skills(value: Any) -> tuple[str, ...]:
    """The skills that a JSON column names, each once, at most `MAX_SKILLS`.

    A list of names or of objects with a ``name`` or ``skill``; an object whose values are names, or, where no value
    is one, whose keys are (``{"rhyming": 80}``); a single name.
    """
    found: dict[str, None] = {}
    for name in _names(value):
        if len(found) == MAX_SKILLS:
            break
        if normal := skill(name):
            found[normal] = None
    return tuple(found)


@lru_cache(maxsize=2000)
def skills_of_text(text: str | None) -> tuple[str, ...]:
    """As `skills`, of the JSON itself: few texts stand in many rows."""
    try:
        return skills(json.decode_stored(text)) if text else ()
    except ValueError:
        return ()


def scores(value: Any) -> dict[str, float]:
    """The scores (0 to 100) by skill of an object like ``{"rhyming": 80}`` or ``{"rhyming": {"score": 80}}``."""
    found: dict[str, float] = {}
    for name, told in list(value.items())[: 5 * MAX_SKILLS] if isinstance(value, dict) else ():
        known = percent(told.get("score", told.get("accuracy")) if isinstance(told, dict) else told)
        if (normal := skill(name)) and known is not None:
            found[normal] = known
    return found


def skill(name: Any) -> str:
    """A skill's name as it is compared: ``onset_fluency`` for ``Onset fluency``; empty for what is no name."""
    if not isinstance(name, str) or not name.isprintable() or len(name) > MAX_SKILL_LENGTH:
        return ""
    return re.sub(r"[ -]", "_", name.strip().lower())


def _names(value: Any) -> Iterator[Any]:
    match value:
        case str():
            yield value
        case list():
            for entry in value:
                yield (entry.get("name") or entry.get("skill")) if isinstance(entry, dict) else entry
        case dict():
            told = [entry for entry in value.values() if isinstance(entry, str | list)]
            for entry in told or value:
                yield from entry if isinstance(entry, list) else [entry]
