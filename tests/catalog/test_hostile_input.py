"""Whatever is sent to the catalogue, it answers in JSON, and never by falling over."""

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

one_shape = pytest.mark.parametrize("shape", ["guide"])
quick = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

FIELDS = (
    *("content_type", "subject_area", "age_range", "title", "description", "file_path", "skill_objectives"),
    *("prerequisite_skills", "content_metadata", "download_priority", "difficulty_level", "active", "id", "content_id"),
)
PARAMETERS = (
    *("subject_area", "age_range", "content_type", "difficulty_level", "q", "page", "per_page", "limit", "offset"),
    *("active", "purge"),
)
ODD_TEXT = [
    "",
    "0",
    "-1",
    "1",
    "true",
    "false",
    "all",
    "null",
    "9" * 30,
    "9" * 5000,
    "\0",
    "%",
    "\\",
    "'",
    '"',
    "\ud800",
]
GOOD = {"content_type": "story", "subject_area": "math", "age_range": "3-5"}

raw_bytes = st.binary(max_size=12) | st.sampled_from([b"\xff", b"\xed\xa0\x80", b"\x00", b"%00", b"\xc0\xaf"])
words = st.text(max_size=12) | st.sampled_from(ODD_TEXT)
queries = st.lists(st.tuples(st.sampled_from(PARAMETERS) | words, words | raw_bytes), max_size=4)
ids = st.integers() | st.sampled_from([0, 1, -1, 2**31 - 1, 2**31, 2**63, 10**30]) | words | raw_bytes
numbers = st.integers() | st.floats() | st.sampled_from([10**400, 2**31, -(2**63), 1e308, -0.0])
leaves = st.none() | st.booleans() | numbers | words
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))
bodies = st.dictionaries(st.sampled_from(FIELDS) | words, values, max_size=5) | values
headers = st.dictionaries(
    st.sampled_from(
        ["If-Match", "If-None-Match", "If-Modified-Since", "If-Range", "Range", "Accept", "Content-Length"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
    | st.sampled_from(['""', "*", 'W/""', '"x", ""', ",", "W/", '"', "bytes=0-", "0"]),
    max_size=2,
)


@one_shape
def test_no_query_string_breaks_a_reading_route(ask, make_item):
    make_item()

    @quick
    @given(
        path=st.sampled_from(["", "/", "/1", "/subjects", "/age-ranges", "/content-types"]),
        query=queries,
        extra=headers,
    )
    def check(path, query, extra):
        ask("GET", f"/content{path}?{_encoded(query)}", extra)

    check()


@one_shape
def test_no_id_breaks_a_route_of_an_item(ask, make_item):
    make_item()

    @quick
    @given(method=st.sampled_from(["GET", "HEAD", "PUT", "PATCH", "DELETE"]), item=ids, query=queries, extra=headers)
    def check(method, item, query, extra):
        text = item if isinstance(item, bytes) else str(item).encode(errors="surrogatepass")
        ask(method, f"/content/{quote(text)}?{_encoded(query)}", extra, json.dumps(GOOD).encode())

    check()


@one_shape
def test_no_json_breaks_a_writing_route(ask, make_item):
    make_item()

    @quick
    @given(
        route=st.sampled_from([("POST", "/content"), ("PUT", "/content/1"), ("PATCH", "/content/1")]),
        body=bodies,
        complete=st.booleans(),
        extra=headers,
    )
    def check(route, body, complete, extra):
        if complete and isinstance(body, dict):
            body = GOOD | body
        ask(*route, extra, json.dumps(body).encode())
        ask("GET", "/content?per_page=50&active=all", {})

    check()


@one_shape
def test_no_bytes_break_a_writing_route(ask, make_item):
    make_item()

    @quick
    @given(
        route=st.sampled_from([("POST", "/content"), ("PUT", "/content/1"), ("PATCH", "/content/1")]),
        body=st.binary(max_size=60) | st.text('[]{}":,\\u0d8NaInfity1e+-. \n', max_size=60).map(str.encode),
        kind=st.sampled_from(["application/json", "application/json; charset=utf-7", "application/x+json"]) | words,
    )
    def check(route, body, kind):
        printable = "".join(character for character in kind if " " <= character <= "~")
        ask(*route, {"Content-Type": printable}, body)

    check()


@one_shape
def test_the_queries_of_a_list_are_data_to_postgresql(ask, make_item):
    make_item()
    for text in ("'; DROP TABLE content_library; --", "%s", "%(x)s", ":x", "{0}", "$1", "\\'", "E'\\x00'", "/*", "--"):
        for name in ("subject_area", "content_type", "q"):
            response = ask("GET", f"/content?{name}={quote(text)}", {})
            assert (response.status_code, response.get_json()["content"]) == (200, [])
    assert ask("GET", "/content", {}).get_json()["pagination"]["total"] == 1


@pytest.fixture
def ask(client, as_parent):
    """``ask(method, path, headers, body)``: the answer, once it has been found to be one of ours."""

    def send(method, path, extra, body=b""):
        headers = {"Content-Type": "application/json"} | extra | as_parent
        headers |= {"Content-Length": str(len(body))} if method != "GET" else {}
        response = client.open(path, method=method, headers=headers, data=body)
        assert response.status_code < 500, (method, path, extra, body)
        if response.status_code == 304 or method == "HEAD":
            assert response.get_data() == b""
            return response
        assert response.mimetype == "application/json"
        answer = json.loads(response.get_data(), parse_constant=_refuse)
        if response.status_code >= 400:
            assert isinstance(answer["message"], str) and answer["message"]
            assert set(answer) <= {"message", "errors", "request_id"}
            assert not {"Traceback", "psycopg", "sqlalchemy", "SELECT ", "/library_server/"} & set(
                answer["message"].split()
            )
        return response

    return send


def _encoded(query):
    def quoted(part):
        return quote(part if isinstance(part, bytes) else part.encode(errors="surrogatepass"), safe="")

    return "&".join(f"{quoted(name)}={quoted(value)}" for name, value in query)


def _refuse(constant):
    raise AssertionError(f"{constant} is not JSON")
