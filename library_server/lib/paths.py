"""Relative paths that are safe to join to a folder."""

import unicodedata
from functools import lru_cache

MAX_SEGMENT_BYTES = 255
_WINDOWS_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{device}{number}" for device in ("com", "lpt") for number in "0123456789¹²³"
}


@lru_cache(1024)
def is_safe(path: str) -> bool:
    """Whether `path` goes down a folder by plain segments on every system that may hold the folder.

    No ``..``, backslash or control character, nothing hidden, no device or stream of Windows.
    """
    segments = path.split("/")
    return "\\" not in path and not any(_is_odd(segment) for segment in segments)


def _is_odd(segment: str) -> bool:
    return (
        segment == ""
        or segment.startswith(".")
        or segment.endswith(".")
        or ":" in segment
        or segment != segment.strip()
        or segment.lower().partition(".")[0].rstrip() in _WINDOWS_DEVICES
        or len(segment.encode(errors="replace")) > MAX_SEGMENT_BYTES
        or any(unicodedata.category(character) in ("Cc", "Cs") for character in segment)
    )
