"""Requests for one file: every form of range and condition, and what RFC 9110 wants for them."""

from email.utils import formatdate

SONG = bytes(range(256)) * 400
SONG_TIME = 1_767_607_200
SIZE = len(SONG)
ETAG = f'"{SONG_TIME:x}-{SIZE:x}"'


def date(seconds_later: int = 0) -> str:
    """The song's time, or one later (below zero: before it), as HTTP writes times."""
    return formatdate(SONG_TIME + seconds_later, usegmt=True)


def ranges(count: int) -> dict[str, str]:
    """A header that asks for so many single bytes."""
    return {"Range": "bytes=" + ",".join(f"{2 * index}-{2 * index}" for index in range(count))}


# name: (headers, status of GET, status of HEAD)
CASES = {
    "whole": ({}, 200, 200),
    "whole, compressed if you like": ({"Accept-Encoding": "gzip"}, 200, 200),
    "from the first byte": ({"Range": "bytes=0-"}, 206, 200),
    "one byte": ({"Range": "bytes=0-0"}, 206, 200),
    "some bytes": ({"Range": "bytes=10-19"}, 206, 200),
    "the last byte": ({"Range": f"bytes={SIZE - 1}-"}, 206, 200),
    "suffix": ({"Range": "bytes=-5"}, 206, 200),
    "suffix longer than the file": ({"Range": f"bytes=-{2 * SIZE}"}, 206, 200),
    "range beyond the end": ({"Range": f"bytes={SIZE - 5}-{2 * SIZE}"}, 206, 200),
    "unit in capitals": ({"Range": "BYTES=0-1"}, 206, 200),
    "space before the range": ({"Range": "bytes= 0-1"}, 206, 200),
    "two ranges": ({"Range": "bytes=0-1,5-6"}, 206, 200),
    "two ranges, one a suffix": ({"Range": "bytes=0-1, -2"}, 206, 200),
    "two ranges, one not there": ({"Range": f"bytes=0-1,{SIZE}-"}, 206, 200),
    "an empty element between": ({"Range": "bytes=0-1,,3-4"}, 206, 200),
    "sixteen ranges": (ranges(16), 206, 200),
    "seventeen ranges": (ranges(17), 200, 200),
    "more bytes than there are": ({"Range": f"bytes=0-{SIZE - 1},0-{SIZE - 1}"}, 200, 200),
    "range after the end": ({"Range": f"bytes={SIZE}-"}, 416, 200),
    "empty suffix": ({"Range": "bytes=-0"}, 416, 200),
    "range backwards": ({"Range": "bytes=5-2"}, 200, 200),
    "range of letters": ({"Range": "bytes=a-b"}, 200, 200),
    "range of nothing": ({"Range": "bytes=-"}, 200, 200),
    "spaces within the range": ({"Range": "bytes=0 - 1"}, 200, 200),
    "another unit": ({"Range": "items=0-1"}, 200, 200),
    "If-None-Match": ({"If-None-Match": ETAG}, 304, 304),
    "If-None-Match, weak": ({"If-None-Match": f"W/{ETAG}"}, 304, 304),
    "If-None-Match, one of two": ({"If-None-Match": f'"other", {ETAG}'}, 304, 304),
    "If-None-Match, any": ({"If-None-Match": "*"}, 304, 304),
    "If-None-Match, another": ({"If-None-Match": '"other"'}, 200, 200),
    "If-None-Match with a range": ({"If-None-Match": ETAG, "Range": "bytes=0-1"}, 304, 304),
    "If-Modified-Since then": ({"If-Modified-Since": date()}, 304, 304),
    "If-Modified-Since later": ({"If-Modified-Since": date(60)}, 304, 304),
    "If-Modified-Since before": ({"If-Modified-Since": date(-60)}, 200, 200),
    "If-Modified-Since nonsense": ({"If-Modified-Since": "yesterday"}, 200, 200),
    "both of a browser": ({"If-None-Match": ETAG, "If-Modified-Since": date()}, 304, 304),
    "the tag wins over the date": ({"If-None-Match": ETAG, "If-Modified-Since": date(-60)}, 304, 304),
    "another tag wins over the date": ({"If-None-Match": '"other"', "If-Modified-Since": date()}, 200, 200),
    "If-Match": ({"If-Match": ETAG}, 200, 200),
    "If-Match, any": ({"If-Match": "*"}, 200, 200),
    "If-Match, weak": ({"If-Match": f"W/{ETAG}"}, 412, 412),
    "If-Match, another": ({"If-Match": '"other"'}, 412, 412),
    "If-Unmodified-Since then": ({"If-Unmodified-Since": date()}, 200, 200),
    "If-Unmodified-Since before": ({"If-Unmodified-Since": date(-60)}, 412, 412),
    "If-Match wins over the date": ({"If-Match": ETAG, "If-Unmodified-Since": date(-60)}, 200, 200),
    "If-Range": ({"If-Range": ETAG, "Range": "bytes=0-1"}, 206, 200),
    "If-Range, the date": ({"If-Range": date(), "Range": "bytes=0-1"}, 206, 200),
    "If-Range, weak": ({"If-Range": f"W/{ETAG}", "Range": "bytes=0-1"}, 200, 200),
    "If-Range, another": ({"If-Range": '"other"', "Range": "bytes=0-1"}, 200, 200),
    "If-Range, another date": ({"If-Range": date(60), "Range": "bytes=0-1"}, 200, 200),
    "If-Range, another, after the end": ({"If-Range": '"other"', "Range": f"bytes={SIZE}-"}, 200, 200),
}

# What nginx sends for a link without asking Python; the rest of CASES it passes on. A browser sends no other.
SENT_ALONE = {
    "GET": {
        *("whole", "whole, compressed if you like", "from the first byte", "one byte", "some bytes", "the last byte"),
        *("suffix", "suffix longer than the file", "range beyond the end", "If-Range"),
        *(name for name in CASES if name.startswith(("If-None-Match", "If-Modified-Since"))),
        *("both of a browser", "the tag wins over the date", "another tag wins over the date"),
    },
    "HEAD": {
        *("whole", "whole, compressed if you like"),
        *(name for name in CASES if name.startswith(("If-None-Match", "If-Modified-Since"))),
        *("both of a browser", "the tag wins over the date", "another tag wins over the date"),
    },
}
SENT_ALONE["HEAD"].remove("If-None-Match with a range")
