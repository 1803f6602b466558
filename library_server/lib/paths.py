"""Relative paths that are safe to join to a folder."""

import unicodedata

MAX_SEGMENT_BYTES = 255


def is_safe(path: str) -> bool:
    """Whether `path` goes down a folder by plain segments: no ``..``, no backslash, no control character."""
    segments = path.split("/")
    return "\\" not in path and not any(_is_odd(segment) for segment in segments)


def _is_odd(segment: str) -> bool:
    return (
        segment in ("", ".", "..")
        or segment != segment.strip()
        or len(segment.encode(errors="replace")) > MAX_SEGMENT_BYTES
        or any(unicodedata.category(character) in ("Cc", "Cs") for character in segment)
    )
