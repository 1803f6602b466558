"""Range headers: the matrix of RFC 9110 section 14, and any list of ranges held against a simple model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library_server.lib import ranges
from library_server.lib.ranges import MAX_SPANS, Span, Unsatisfiable

WHOLE = None
SIZE = 10_000  # that of the RFC's examples

SATISFIABLE = {
    "bytes=0-499": [(0, 500)],
    "bytes=500-999": [(500, 1000)],
    "bytes=-500": [(9500, SIZE)],
    "bytes=9500-": [(9500, SIZE)],
    "bytes=0-0": [(0, 1)],
    "bytes=0-": [(0, SIZE)],
    "bytes=0-9999": [(0, SIZE)],
    "bytes=9999-": [(9999, SIZE)],
    "bytes=9999-9999": [(9999, SIZE)],
    "bytes=-1": [(9999, SIZE)],
    "bytes=-10000": [(0, SIZE)],
    "bytes=-10001": [(0, SIZE)],
    "bytes=0-10000": [(0, SIZE)],
    "bytes=9500-999999": [(9500, SIZE)],
    "bytes=1-9223372036854775807": [(1, SIZE)],
    "bytes=-9223372036854775807": [(0, SIZE)],
    "bytes=007-0008": [(7, 9)],
    # several, in the order asked for
    "bytes=0-0,-1": [(0, 1), (9999, SIZE)],
    "bytes=500-600,601-999": [(500, 601), (601, 1000)],
    "bytes=500-700,601-999": [(500, 701), (601, 1000)],
    "bytes=9-9,0-0,5-5": [(9, 10), (0, 1), (5, 6)],
    "bytes=3-3,3-3": [(3, 4), (3, 4)],
    "bytes=0-4999,5000-": [(0, 5000), (5000, SIZE)],
    # what lies outside is left out as long as something lies inside
    "bytes=10000-,0-0": [(0, 1)],
    "bytes=0-0,20000-30000,-0": [(0, 1)],
    # lists may hold blanks, tabs and nothing at all (RFC 9110 section 5.6.1); units know no case
    "bytes=0-0, -1": [(0, 1), (9999, SIZE)],
    "bytes= 0-0\t,\t-1 ": [(0, 1), (9999, SIZE)],
    "bytes=,0-0,,-1,": [(0, 1), (9999, SIZE)],
    "BYTES=0-0": [(0, 1)],
    "Bytes=0-0": [(0, 1)],
    "  bytes=0-0  ": [(0, 1)],
}
UNSATISFIABLE = [
    *("bytes=10000-", "bytes=10000-10000", "bytes=99999-", "bytes=-0", "bytes=-000", "bytes=10000-,-0"),
    "bytes=9223372036854775806-9223372036854775807",
]
IGNORED = [
    *(None, "", " ", "bytes", "bytes=", "bytes= ", "bytes=,", "bytes=, ,", "=0-1", "0-1", "bytes 0-1", "bytes:0-1"),
    *("items=0-1", "byte=0-1", "bytesx=0-1", "xbytes=0-1", "none", "seconds=1-2", "bytes,items=0-1"),
    *("bytes=-", "bytes=--1", "bytes=1--1", "bytes=1-2-3", "bytes=a-b", "bytes=0x0-0x1", "bytes=0-a", "bytes=0-1;2-3"),
    *("bytes=+0-1", "bytes=0-+1", "bytes=0.0-1.0", "bytes=1e1-", "bytes=0", "bytes=0 1", "bytes=0 -1", "bytes=0- 1"),
    *("bytes=2-1", "bytes=1-0", "bytes=0-1,2-1", "bytes=0-1,x", "bytes=0-1,-", "bytes=0-1 2-3", "bytes==0-1"),
    *("bytes=٠-١", "bytes=０-１", "bytes=²-³", "bytes=0–1", "bytes=0-1\0", "bytes=0-\n1", "bytes=_1-2", "bytes=1_0-20"),
    # greedy: more than the file has in all, or too many
    *("bytes=0-,0-0", "bytes=0-,0-", "bytes=0-9999,-1", "bytes=0-6000,5000-9000", "bytes=-10000,-10000"),
    "bytes=" + ",".join(f"{2 * number}-{2 * number}" for number in range(MAX_SPANS + 1)),
    "bytes=" + ",".join(["0-0"] * 1_000),
    "bytes=" + "0" * 100_000 + "-1",
    "bytes=" + "," * 100_000,
    "bytes=0-1" + " " * 100_000 + "x",
]
EMPTY = {  # a file without a byte has no first one; its last five are all of it
    "bytes=-5": WHOLE,
    "bytes=0-1,-5": WHOLE,
    "bytes=1-0": WHOLE,
    "items=0-0": WHOLE,
    "bytes=0-": Unsatisfiable,
    "bytes=0-0": Unsatisfiable,
    "bytes=5-,0-": Unsatisfiable,
}

numbers = st.one_of(st.integers(0, 30), st.integers(0, 10**18))
headers = st.text() | st.text("bytesBYTES=-0123456789, \t\n;*", max_size=30).map("bytes={}".format)
specs = st.one_of(st.tuples(numbers, numbers), st.tuples(numbers, st.none()), st.tuples(st.none(), numbers))


@pytest.mark.parametrize("header", SATISFIABLE)
def test_ranges_inside_the_file_are_its_spans(header):
    assert ranges.parse(header, SIZE) == [Span(*span) for span in SATISFIABLE[header]]


@pytest.mark.parametrize("header", UNSATISFIABLE)
def test_ranges_outside_the_file_are_unsatisfiable(header):
    with pytest.raises(Unsatisfiable):
        ranges.parse(header, SIZE)


@pytest.mark.parametrize("header", IGNORED, ids=lambda header: repr(header)[:30])
def test_a_header_that_is_malformed_or_greedy_counts_as_absent(header):
    assert ranges.parse(header, SIZE) is WHOLE


@pytest.mark.parametrize("header", EMPTY)
def test_an_empty_file_has_no_ranges_but_its_end(header):
    if EMPTY[header] is Unsatisfiable:
        with pytest.raises(Unsatisfiable):
            ranges.parse(header, 0)
    else:
        assert ranges.parse(header, 0) is EMPTY[header]


def test_as_many_ranges_as_are_allowed_are_answered():
    header = "bytes=" + ",".join(f"{number}-{number}" for number in range(MAX_SPANS))
    assert ranges.parse(header, SIZE) == [Span(number, number + 1) for number in range(MAX_SPANS)]


def test_a_file_of_one_byte_has_one_range():
    assert [ranges.parse(header, 1) for header in ("bytes=0-", "bytes=-1", "bytes=0-0", "bytes=-9")] == [[(0, 1)]] * 4


@settings(max_examples=200, deadline=None)
@given(st.lists(specs, min_size=1, max_size=6), st.integers(0, 40))
def test_any_list_of_ranges_is_what_slices_of_the_file_are(asked, size):
    header = "bytes=" + ", ".join("-".join("" if end is None else str(end) for end in spec) for spec in asked)
    try:
        found = ranges.parse(header, size)
    except Unsatisfiable:
        found = Unsatisfiable
    spans = [list(range(*span)) for span in found] if isinstance(found, list) else found
    assert spans == _model(asked, size)


@settings(max_examples=200, deadline=None)
@given(headers, st.integers(0))
def test_no_header_breaks_the_parser_or_leads_out_of_the_file(header, size):
    try:
        spans = ranges.parse(header, size)
    except Unsatisfiable:
        return
    assert all(0 <= start < stop <= size for start, stop in spans or [])


def _model(asked, size):
    """The positions that each range of `asked` selects, by Python's own slices."""
    if any(first is not None and last is not None and first > last for first, last in asked):
        return WHOLE
    if size == 0 and any(first is None for first, _ in asked):
        return WHOLE
    file = range(size)
    parts = [file[max(size - last, 0) :] if first is None else file[first : _stop(last)] for first, last in asked]
    inside = [list(part) for part in parts if part]
    if not inside:
        return Unsatisfiable
    return inside if sum(map(len, inside)) <= size else WHOLE


def _stop(last):
    return None if last is None else last + 1
