"""Errors as a log may tell them: where they were raised and of which kind, never what they say.

What an error says may quote anything: PostgreSQL repeats the row that it refuses, OSError the path, KeyError the key.
"""

import errno
from traceback import format_tb

_FRAMES = 40  # of each error, the innermost


def outline(error: BaseException) -> str:
    """The stacks of the error and of those that it came from, oldest first, without their texts."""
    told: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        told.append("".join(format_tb(current.__traceback__, -_FRAMES)) + kind(current))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n\nwhich led to:\n\n".join(reversed(told))


def kind(error: BaseException) -> str:
    """The error's class, with its number where it has one: ``UniqueViolation 23505``, ``OSError ENOSPC``."""
    code = getattr(error, "pgcode", None)
    if isinstance(error, OSError):
        code = errno.errorcode.get(error.errno or 0)
    return f"{type(error).__qualname__} {code}" if isinstance(code, str) else type(error).__qualname__
