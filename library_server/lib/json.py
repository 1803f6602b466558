"""JSON in and out."""

import json
import math
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json


class NotJson(ValueError):
    """The bytes are not JSON that we accept."""


def encode(value: Any) -> bytes:
    """Compact UTF-8 JSON; times as ISO 8601.

    A JSON column may hold half a surrogate pair, which is written as an escape, and a number that is infinite here,
    which is written as null.
    """
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        text = json.dumps(value, default=lambda time: time.isoformat())
        return json.dumps(json.loads(text, parse_constant=lambda _: None), separators=(",", ":")).encode()


def decode_stored(text: str) -> Any:
    """The value of a JSON column, whatever others have stored there.

    A number too long to be one is infinite; what is nested too deeply for us to read is nothing.
    """
    try:
        return _STORED.decode(text)
    except RecursionError:
        return None


def _whole_number(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # Python takes 4300 digits
        return float(digits)


_STORED = json.JSONDecoder(parse_int=_whole_number)


def decode(data: bytes) -> Any:
    """The value of `data`.

    Raises NotJson for what PostgreSQL could not hold or nobody means: broken syntax, half a surrogate pair, NaN,
    infinity, NUL in text, more than 200 levels.
    """
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise NotJson(str(error)) from None
    _refuse_unstorable(value)
    return value


def _refuse_unstorable(value: Any) -> None:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text if "\0" in text:
                raise NotJson("text must not contain NUL")
            case float() as number if not math.isfinite(number):
                raise NotJson("a number is too large")
            case list() as items:
                waiting.extend(items)
            case dict() as members:
                waiting.extend(members)
                waiting.extend(members.values())
