"""Byte ranges of RFC 9110, section 14."""

import re
from typing import NamedTuple

MAX_SPANS = 16
_HEADER = re.compile(r"\s*bytes\s*=(?P<list>.*)", re.IGNORECASE | re.DOTALL)
_ITEM = re.compile(r"[ \t]*(?P<first>[0-9]{1,19})?-(?P<last>[0-9]{1,19})?[ \t]*", re.ASCII)


class Span(NamedTuple):
    """Bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int


class Unsatisfiable(Exception):
    """No range lies within the file: 416."""


def parse(header: str | None, size: int) -> list[Span] | None:
    """The spans that a ``Range`` header asks of a file of `size` bytes, in its order; None for the whole file.

    A header that is malformed, in another unit, or greedy (many ranges, or more bytes in all than the file has) counts
    as absent, as the RFC allows. Raises Unsatisfiable.
    """
    match = _HEADER.fullmatch(header or "")
    items = [item for item in match["list"].split(",") if item.strip(" \t")] if match else []
    if not items or len(items) > MAX_SPANS:
        return None
    spans = []
    for item in items:
        found = _ITEM.fullmatch(item)
        if not found or (found["first"] is None and found["last"] is None):
            return None
        first, last = (None if text is None else int(text) for text in (found["first"], found["last"]))
        if first is not None and last is not None and first > last:
            return None
        spans.append(_span(first, last, size))
    if size == 0 and any(first.lstrip(" \t").startswith("-") for first in items):
        return None  # a suffix of nothing is nothing, which Content-Range cannot say
    within = [span for span in spans if span.start < span.stop]
    if not within:
        raise Unsatisfiable
    greedy = sum(span.stop - span.start for span in within) > size
    return None if greedy else within


def _span(first: int | None, last: int | None, size: int) -> Span:
    if first is None:  # the last `last` bytes
        return Span(max(size - (last or 0), 0), size)
    return Span(first, size if last is None else min(last + 1, size))
