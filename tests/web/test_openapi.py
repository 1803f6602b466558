"""The API's description is valid and complete, every answer keeps to it, and its page needs no other host."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import flask_swagger_ui
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from library_server.extensions import db
from tests.conftest import bearer

DESCRIPTION, PAGE = "/api/content/openapi.json", "/api/content/docs"
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
ITEM = {"content_type": "story", "subject_area": "math", "age_range": "3-5", "title": "A story"}
CURRICULUM = {
    "heggerty": {"lesson_number": 1, "skill_focus": "rhyming", "activity_type": "song", "content_data": [1]},
    "nursery-rhymes": {"rhyme_name": "Hickory Dickory Dock", "audio_file_path": "audio/file.txt"},
    "multi-subject": {"subject": "math", "grade_level": "K", "unit_title": "Ten", "lesson_sequence": 1},
}
NOBODY = {}
REFUSED = [
    {"Authorization": "Basic x y"},
    {"Authorization": "Bearer x"},
    bearer(user_id=1, user_type="parent", exp=1),
    bearer(user_id=1, user_type="nobody"),
    bearer(user_id=999, user_type="parent"),
]
pytestmark = pytest.mark.parametrize("shape", ["guide"])


@pytest.fixture
def app(make_app, database_url, redis, tmp_path):
    """The application with folders of this test's own, and a file in each."""
    folders = {f"{name.upper()}_STORAGE_PATH": str(tmp_path / name) for name in ("content", "assets", "uploads")}
    for name in ("content/audio", "assets/icons"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file.txt").write_text("hello")
    made = make_app(database_url, **folders, CACHE_TTL=600)
    yield made
    with made.app_context():
        db.engine.dispose()


@pytest.fixture
def description(client):
    """The document as a client gets it."""
    response = client.get(DESCRIPTION)
    assert response.status_code == 200
    return response.get_json()


def test_the_description_is_valid_openapi_3_1(app, description):
    assert description["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(description).validate()
    for schema in description["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_description_is_for_anyone_under_both_slashes(client):
    for path in (DESCRIPTION, f"{DESCRIPTION}/"):
        response = client.get(path)
        assert (response.status_code, response.mimetype) == (200, "application/json")
        assert client.head(path).status_code == 200


def test_every_reference_leads_somewhere(description):
    references = set(re.findall(r"'\$ref': '#/components/(\w+)/([\w-]+)'", str(description)))
    assert references
    assert all(name in description["components"][kind] for kind, name in references)


def test_operations_have_names_of_their_own(description):
    names = [operation["operationId"] for _, _, operation in operations(description)]
    assert sorted(names) == sorted(set(names))


def test_no_two_paths_are_the_same_but_for_the_names_of_their_parameters(description):
    bare = [re.sub(r"\{\w+\}", "{}", path) for path in description["paths"]]
    assert sorted(bare) == sorted(set(bare))


def test_every_parameter_of_a_path_is_described(description):
    for path, _, operation in operations(description):
        told = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
        assert told == set(re.findall(r"\{(\w+)\}", path))


def test_every_operation_says_what_it_does_and_how_it_may_end(description):
    for path, method, operation in operations(description):
        assert operation["summary"], (method, path)
        statuses = set(operation["responses"])
        assert any(status.startswith("2") for status in statuses)
        if operation.get("security") != []:
            assert "401" in statuses, (method, path)
        if "{" in path:
            assert "404" in statuses, (method, path)


def test_every_route_of_ours_is_described(app, description):
    samples = {"int": "1", "path": "audio/file.txt", "": "name"}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(("library.docs.", "library.direct_metrics.")):
            continue
        path = re.sub(r"<(?:(\w+):)?\w+>", lambda variable: samples[variable[1] or ""], rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert described_path(description, path, method), (method, rule.rule)


def test_times_are_not_said_to_have_a_zone_which_they_lack(description):
    # "date-time" is RFC 3339's, which wants one
    assert "'format': 'date-time'" not in str(description["components"]["schemas"]["Item"])


OUR_KEYS = ("content_cache:", "search_cache:", "rate_limit:", "library:")


def test_every_answer_keeps_to_the_description(app, description, as_parent, as_child, child, make_item, sql, redis):
    sql("INSERT INTO progress (child_id, content_id) VALUES (%s, %s)", (child, make_item(file_path="audio/file.txt")))
    sql("UPDATE content_library SET skill_objectives = '5', content_metadata = '[1]', created_at = now()::timestamp")
    seen, keys = set(), set()
    for method, path, status, who, arguments in _tour(as_parent, as_child):
        headers = who | arguments.get("headers", {})
        with app.test_client().open(path, method=method, **arguments | {"headers": headers}) as response:
            assert (method, path, response.status_code) == (method, path, status), response.get_data()
            template = described_path(description, path, method)
            assert template, f"{method} {path} is not described"
            _check(description, template, method, response)
        seen.add((template, method.lower(), status))
        keys |= {key.decode() for key in redis.keys("*")}  # now: what holds links ends with them
    assert [key for key in keys if not key.startswith(OUR_KEYS)] == []
    left = [key.decode() for key in redis.keys("*")]
    assert [key for key in left if redis.ttl(key) < 0 and not key.startswith("library:usage:")] == []
    assert {key.partition(":")[0] for key in keys} == {prefix.partition(":")[0] for prefix in OUR_KEYS}
    for path, method, operation in operations(description):
        ok = [status for status in operation["responses"] if status.startswith("2")]
        assert any((path, method, int(status)) in seen for status in ok), f"the tour misses {method} {path}"


def test_an_answer_without_postgresql_keeps_to_the_description_too(make_app, description, as_parent):
    app = make_app("postgresql://nobody@127.0.0.1:1/nothing")
    for path in ("/content", "/content/1", "/content/subjects", "/health", "/api/content/health/ready"):
        response = app.test_client().get(path, headers=as_parent)
        assert (path, response.status_code) == (path, 503)
        _check(description, described_path(description, path, "GET"), "GET", response)


def test_what_is_made_up_from_the_description_is_answered_by_it(app, as_parent, make_item):
    make_item()
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
    ]
    quick = settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    for result in schemathesis.openapi.from_wsgi(DESCRIPTION, app).get_all_operations():

        @quick
        @given(case=result.ok().as_strategy())
        def check(case):
            case.validate_response(case.call(headers=as_parent), checks=checks)

        check()


def test_the_page_shows_the_description(client):
    for path in (PAGE, f"{PAGE}/"):
        response = client.get(path)
        assert (response.status_code, response.mimetype) == (200, "text/html")
        assert DESCRIPTION in response.get_data(as_text=True)


def test_the_page_needs_no_other_host_and_all_it_needs_is_there(client):
    page = client.get(PAGE).get_data(as_text=True)
    assert "//" not in page
    addresses = _Addresses(page).found
    assert len([address for address in addresses if address.endswith((".js", ".css"))]) >= 3
    kinds = {"js": "text/javascript", "css": "text/css", "png": "image/png", "json": "application/json"}
    for address in addresses:
        assert address.startswith("/api/content/")
        with client.get(address) as response:
            assert (address, response.status_code) == (address, 200)
            assert response.mimetype == kinds[address.rpartition(".")[2]]
            text = response.get_data().decode(errors="replace")
        assert text
        assert not (address.endswith(".css") and re.search(r"url\((?!['\"]?data:)|@import", text))


def test_the_page_may_load_and_ask_nobody_but_us(client):
    header = client.get(PAGE).headers["Content-Security-Policy"]
    policy = {name: sources for name, *sources in (directive.split() for directive in header.split(";"))}
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["connect-src"] == ["'self'"]
    assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert {source for sources in policy.values() for source in sources} <= {
        "'none'", "'self'", "'unsafe-inline'", "data:",
    }  # fmt: skip


def test_the_page_holds_no_script_that_its_policy_forbids(client):
    page = client.get(PAGE).get_data(as_text=True)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert not re.search(r"\son\w+=", page)


def test_nothing_else_is_served_beside_the_page(client):
    linked = {address.rpartition("/")[2] for address in _Addresses(client.get(PAGE).get_data(as_text=True)).found}
    unused = {path.name for path in (Path(flask_swagger_ui.__file__).parent / "dist").iterdir()} - linked
    assert unused
    for name in (*unused, "nothing.js", "swagger-ui.css.map", "..%2fopenapi.py", "%2e%2e", ".", "start.js%00"):
        response = client.get(f"{PAGE}/{name}")
        assert (name, response.status_code) == (name, 404)
        assert list(response.get_json()) == ["message"]


def _tour(parent, child):
    """Method, path, expected status, whose headers, and the request's other arguments: each route, well and badly."""

    def form(**fields):
        return {"data": fields, "content_type": "multipart/form-data"}

    def text(content):
        return io.BytesIO(content), "hello.txt"

    stale, known = {"headers": {"If-Match": '"stale"'}}, {"headers": {"If-None-Match": "*"}}
    yield from [
        ("GET", "/content", 200, child, {}),
        ("GET", "/content?active=all&q=story&page=1&per_page=5", 200, parent, {}),
        ("GET", "/content?page=9", 200, child, {}),
        ("GET", "/content", 304, child, known),
        ("GET", "/content?page=0&limit=x", 400, child, {}),
        ("GET", "/content", 412, child, stale),
        ("GET", "/content", 401, NOBODY, {}),
        *(("GET", "/content", 401, refused, {}) for refused in REFUSED),
        ("GET", "/content?active=all", 403, child, {}),
        ("POST", "/content", 201, parent, {"json": ITEM}),
        ("POST", "/content", 400, parent, {"json": {"content_type": 5}}),
        ("POST", "/content", 400, parent, {"json": ITEM | {"age_range": "x", "title": 5}}),
        ("POST", "/content", 400, parent, {"data": "no json", "content_type": "application/json"}),
        ("POST", "/content", 400, parent, {"data": "{}"}),
        ("POST", "/content", 400, parent, {"json": [1]}),
        ("POST", "/content", 400, parent, {"json": ITEM | {"x": 1}}),
        ("POST", "/content", 401, NOBODY, {"json": ITEM}),
        ("POST", "/content", 403, child, {"json": ITEM}),
        ("POST", "/content", 413, parent, {"json": ITEM | {"title": "x" * 9_000_000}}),
        ("GET", "/content/1", 200, child, {}),
        ("GET", "/content/1", 304, child, known),
        ("GET", "/content/1?active=x", 400, parent, {}),
        ("GET", "/content/1", 401, NOBODY, {}),
        ("GET", "/content/1?active=all", 403, child, {}),
        ("GET", "/content/999", 404, child, {}),
        ("GET", "/content/1", 412, child, stale),
        ("GET", "/content/child/1/recommendations?limit=50", 200, child, {}),
        ("GET", "/content/child/1/recommendations", 304, parent, known),
        ("GET", "/content/child/1/recommendations?limit=0", 400, parent, {}),
        ("GET", "/content/child/1/recommendations", 401, NOBODY, {}),
        ("GET", "/content/child/2/recommendations", 403, child, {}),
        ("GET", "/content/child/2/recommendations", 404, parent, {}),
        ("GET", "/content/child/1/recommendations", 412, child, stale),
        ("PUT", "/content/2", 200, parent, {"json": ITEM}),
        ("PUT", "/content/2", 400, parent, {"json": {}}),
        ("PUT", "/content/2", 401, NOBODY, {"json": ITEM}),
        ("PUT", "/content/2", 403, child, {"json": ITEM}),
        ("PUT", "/content/999", 404, parent, {"json": ITEM}),
        ("PUT", "/content/2", 412, parent, {"json": ITEM} | stale),
        ("PUT", "/content/2", 413, parent, {"json": ITEM | {"title": "x" * 9_000_000}}),
        ("PATCH", "/content/2", 200, parent, {"json": {"active": False}}),
        ("PATCH", "/content/2", 400, parent, {"json": {"x": 1}}),
        ("PATCH", "/content/2", 401, NOBODY, {"json": {}}),
        ("PATCH", "/content/2", 403, child, {"json": {}}),
        ("PATCH", "/content/999", 404, parent, {"json": {}}),
        ("PATCH", "/content/2", 412, parent, {"json": {}} | stale),
        ("PATCH", "/content/2", 413, parent, {"json": {"title": "x" * 9_000_000}}),
        ("DELETE", "/content/2", 200, parent, {}),
        ("DELETE", "/content/2?purge=x", 400, parent, {}),
        ("DELETE", "/content/2", 401, NOBODY, {}),
        ("DELETE", "/content/2", 403, child, {}),
        ("DELETE", "/content/2", 412, parent, stale),
        ("DELETE", "/content/2?purge=true", 200, parent, {}),
        ("DELETE", "/content/2?purge=true", 404, parent, {}),
        ("DELETE", "/content/1?purge=true", 409, parent, {}),
    ]
    for report in ("/content/analytics/summary", "/content/analytics/items/1"):
        yield from [
            ("GET", report, 200, parent, {}),
            ("GET", f"{report}?format=csv&start=2026-01-01&end=2026-01-31", 200, parent, {}),
            ("GET", report, 304, parent, known),
            ("GET", f"{report}?start=x", 400, parent, {}),
            ("GET", report, 401, NOBODY, {}),
            ("GET", report, 403, child, {}),
            ("GET", report, 412, parent, stale),
        ]
    for facet in ("subjects", "age-ranges", "content-types"):
        yield from [
            ("GET", f"/content/{facet}", 200, child, {}),
            ("GET", f"/content/{facet}", 304, child, known),
            ("GET", f"/content/{facet}", 401, NOBODY, {}),
            ("GET", f"/content/{facet}", 412, child, stale),
        ]
    for name, row in CURRICULUM.items():
        path, body, large = f"/content/curriculum/{name}", {"json": row}, {"json": {"x": "x" * 9_000_000}}
        yield from [
            ("POST", path, 201, parent, body),
            ("POST", path, 201, parent, body),
            ("POST", path, 400, parent, {"json": {}}),
            ("POST", path, 401, NOBODY, body),
            ("POST", path, 403, child, body),
            ("POST", path, 413, parent, large),
            ("GET", path, 200, child, {}),
            ("GET", path, 304, child, known),
            ("GET", path, 400, child, {"query_string": "page=0"}),
            ("GET", path, 401, NOBODY, {}),
            ("GET", path, 412, child, stale),
            ("GET", f"{path}/1", 200, child, {}),
            ("GET", f"{path}/1", 304, child, known),
            ("GET", f"{path}/1", 401, NOBODY, {}),
            ("GET", f"{path}/999", 404, child, {}),
            ("GET", f"{path}/1", 412, child, stale),
            ("DELETE", f"{path}/1", 401, NOBODY, {}),
            ("DELETE", f"{path}/1", 403, child, {}),
            ("DELETE", f"{path}/1", 412, parent, stale),
            ("DELETE", f"{path}/2", 200, parent, {}),
            ("DELETE", f"{path}/2", 404, parent, {}),
        ]
        for method in ("PUT", "PATCH"):
            yield from [
                (method, f"{path}/1", 200, parent, body),
                (method, f"{path}/1", 400, parent, {"json": {"x": 1}}),
                (method, f"{path}/1", 401, NOBODY, body),
                (method, f"{path}/1", 403, child, body),
                (method, f"{path}/999", 404, parent, body),
                (method, f"{path}/1", 412, parent, body | stale),
                (method, f"{path}/1", 413, parent, large),
            ]
    for path in ("/content/search", "/api/content/search", "/content/suggest"):
        yield from [
            ("GET", f"{path}?q=story", 200, child, {}),
            ("GET", f"{path}?q=stori", 200, parent, {}),
            ("GET", f"{path}?q=story", 304, child, known),
            ("GET", path, 400, child, {}),
            ("GET", f"{path}?q=story", 401, NOBODY, {}),
            ("GET", f"{path}?q=story", 412, child, stale),
        ]
    yield ("GET", "/content/search?q=story&active=all", 403, child, {})
    for path in ("/content/audio/file.txt", "/assets/icons/file.txt", "/content/1/download", "/download/1"):
        yield from [
            ("GET", path, 200, parent, {}),
            ("GET", path, 206, parent, {"headers": {"Range": "bytes=1-2"}}),
            ("GET", path, 304, parent, known),
            ("GET", path.replace("file", "none").replace("1", "999"), 404, parent, {}),
            ("GET", path, 412, parent, stale),
            ("GET", path, 416, parent, {"headers": {"Range": "bytes=99-"}}),
        ]
        if not path.startswith("/assets"):
            yield ("GET", path, 401, NOBODY, {})
    yield ("GET", "/content/audio/file.txt?expires=1&signature=x", 403, NOBODY, {})
    for path in ("/api/content/upload", "/upload"):
        yield from [
            ("POST", path, 201, parent, form(file=text(b"one"))),
            ("POST", path, 201, parent, form(file=text(b"two"), **ITEM)),
            ("POST", path, 400, parent, form(title="no file")),
            ("POST", path, 400, parent, form(file=text(b"three"), content_type="story")),
            ("POST", path, 400, parent, form(file=(io.BytesIO(b"four"), "program.exe"))),
            ("POST", path, 400, parent, form(file=(io.BytesIO(b"five"), "song.mp3"))),
            ("POST", path, 400, parent, form(file=text(b"six"), **ITEM, skill_objectives="[")),
            ("POST", path, 400, parent, {"data": "broken", "content_type": "multipart/form-data"}),
            ("POST", path, 401, NOBODY, form(file=text(b"four"))),
            ("POST", path, 403, child, form(file=text(b"five"))),
        ]
    for prefix in ("", "/api/content"):
        yield from [("GET", f"{prefix}/health{end}", 200, NOBODY, {}) for end in ("", "/live", "/ready")]


def operations(description):
    """Path, method and what is told of each route."""
    for path, item in description["paths"].items():
        for method in METHODS & set(item):
            yield path, method, item[method]


def described_path(description, address, method):
    """The description's path that an address belongs to, the most concrete one; None where there is none."""
    found = [
        path
        for path, operations in description["paths"].items()
        if method.lower() in operations
        and re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), address.partition("?")[0])
    ]
    return min(found, key=lambda path: path.count("{"), default=None)


def responses_of(description, operation):
    """What is told of each status, references followed."""
    shared = description["components"]["responses"]
    return {
        status: shared[told["$ref"].rpartition("/")[2]] if "$ref" in told else told
        for status, told in operation["responses"].items()
    }


def _check(description, path, method, response):
    """Holds an answer against the description: its status, headers and type, and every name and value of its body."""
    responses = responses_of(description, description["paths"][path][method.lower()])
    status = str(response.status_code)
    assert status in responses, f"{method} {path} does not say that it may answer {status}"
    told, borne = set(responses[status]["headers"]), set(response.headers.keys())
    assert told - {"ETag"} <= borne
    assert borne & {"ETag", "Location", "Retry-After", "WWW-Authenticate", "Content-Range"} <= told
    kinds = responses[status].get("content", {})
    if not kinds:
        assert response.get_data() == b""
    elif response.mimetype == "text/csv":
        assert "text/csv" in kinds
    elif "application/json" in kinds:
        assert response.mimetype == "application/json"
        schema = {**kinds["application/json"]["schema"], "components": description["components"]}
        Draft202012Validator(schema).validate(response.get_json())
        if "examples" in kinds["application/json"]:
            _check_message(response.get_json(), kinds["application/json"]["examples"])


def _check_message(answer, examples):
    """The message is one of the examples; where it is made of input, it begins as one or tells fields as one does."""
    alike = [example["value"] for name, example in examples.items() if name == answer["message"].partition(":")[0]]
    by_field = [example["value"] for example in examples.values() if "errors" in example["value"]]
    assert alike or ("errors" in answer and by_field), (answer["message"], list(examples))
    assert all(set(example) == set(answer) for example in alike)


class _Addresses(HTMLParser):
    """What a page loads or links to."""

    def __init__(self, page):
        super().__init__()
        self.found = set()
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found |= {value for name, value in attributes if name in ("src", "href", "data-description")}
