"""Who may call which route: every method of every route, both slashes, every kind of caller."""

import pytest
import redis as redis_py

from library_server import create_app
from library_server.extensions import db
from tests.conftest import SECRET, bearer, make_child, make_parent, run_sql, truncate_all

ANYONE, USER, EDITOR, FAMILY = "anyone", "a parent or child", "an editor", "that child, its parent"
CURRICULUM = {
    "heggerty": ("heggerty_curriculum_data", "lesson_number, skill_focus, activity_type", "1, 'a', 'b'"),
    "nursery-rhymes": ("nursery_rhyme_data", "rhyme_name", "'a'"),
    "multi-subject": ("multi_subject_curriculum", "subject, grade_level, unit_title, lesson_sequence", "'', '', '', 1"),
}

# A new route stands here, or test_every_route_is_in_the_matrix fails.
MATRIX = {
    "GET /content": USER,
    "POST /content": EDITOR,
    "GET /content/<int:item_id>": USER,
    "PUT /content/<int:item_id>": EDITOR,
    "PATCH /content/<int:item_id>": EDITOR,
    "DELETE /content/<int:item_id>": EDITOR,
    "GET /content/search": USER,
    "GET /api/content/search": USER,
    "GET /content/suggest": USER,
    "GET /content/subjects": USER,
    "GET /content/age-ranges": USER,
    "GET /content/content-types": USER,
    "GET /content/child/<int:child_id>/recommendations": FAMILY,
    "GET /content/<path:path>": USER,
    "GET /assets/<path:path>": ANYONE,
    "GET /content/analytics/summary": EDITOR,
    "GET /content/analytics/items/<int:item_id>": EDITOR,
    "GET /content/<int:item_id>/download": USER,
    "GET /download/<int:item_id>": USER,
    "POST /api/content/upload": EDITOR,
    "POST /upload": EDITOR,
    "GET /api/content/openapi.json": ANYONE,
    "GET /api/content/docs": ANYONE,
    "GET /api/content/docs/<name>": ANYONE,
    "GET /api/content/health": ANYONE,
    "GET /api/content/health/live": ANYONE,
    "GET /api/content/health/ready": ANYONE,
    "GET /health": ANYONE,
    "GET /health/live": ANYONE,
    "GET /health/ready": ANYONE,
    "GET /metrics": ANYONE,
} | {
    f"{method} /content/curriculum/{name}{row}": who
    for name in CURRICULUM
    for method, row, who in (
        ("GET", "", USER),
        ("POST", "", EDITOR),
        ("GET", "/<int:row_id>", USER),
        ("PUT", "/<int:row_id>", EDITOR),
        ("PATCH", "/<int:row_id>", EDITOR),
        ("DELETE", "/<int:row_id>", EDITOR),
    )
}
# What stands for the variables of rules. Item 1 is there, its file in both folders, and row 1 of each curriculum.
SAMPLES = {"<int:item_id>": "1", "<int:child_id>": "1", "<int:row_id>": "1"}
SAMPLES |= {"<path:path>": "images/spider.json", "<name>": "start.js"}


NOBODY = (401, "Authentication token is missing")
GARBAGE = (401, "Token is invalid")
STRANGER = (401, "User not found")
CHILD = (403, "Parent access required")
PARENT = (403, "Editor access required")
NO_RELATION = (403, "Access denied")
EXPECTED = {  # how each caller is refused; who is not named gets in
    ANYONE: {},
    USER: {"nobody": NOBODY, "garbage": GARBAGE, "stranger": STRANGER},
    FAMILY: {"nobody": NOBODY, "garbage": GARBAGE, "stranger": STRANGER, "parent": NO_RELATION},
    EDITOR: {"nobody": NOBODY, "garbage": GARBAGE, "stranger": STRANGER, "child": CHILD, "parent": PARENT},
}
CALLERS = {
    "nobody": lambda: {},
    "garbage": lambda: {"Authorization": "Bearer garbage"},
    "stranger": lambda: bearer(user_id=9, user_type="parent"),
    "child": lambda: bearer(user_id=1, user_type="child"),
    "parent": lambda: bearer(user_id=2, user_type="parent"),
    "editor": lambda: bearer(user_id=1, user_type="parent"),
}
GONE = [{"message": f"{noun} not found"} for noun in ("Lesson", "Rhyme", "Unit")]
BODY = {"content_type": "story", "subject_area": "math", "age_range": "3-5", "title": "Another story"}


@pytest.fixture(scope="module")
def library(migrated, servers):
    """The URL of a database with two parents and a child of the first."""
    url = migrated("guide")
    truncate_all(url)
    with redis_py.Redis.from_url(servers.redis_url) as redis:
        redis.flushdb()

    def sql(statement, parameters=None):
        return run_sql(url, statement, parameters)

    assert [make_parent(sql), make_parent(sql), make_child(sql, 1)] == [1, 2, 1]
    return url


@pytest.fixture(scope="module")
def start(library, make_app, tmp_path_factory):
    """``start("1,2")``: a client of the library with these CONTENT_EDITORS."""
    apps = {}
    folder = tmp_path_factory.mktemp("files")
    file = folder / SAMPLES["<path:path>"]
    file.parent.mkdir()
    file.write_text("{}")
    folders = {"CONTENT_STORAGE_PATH": str(folder), "ASSETS_STORAGE_PATH": str(folder)}

    def get(editors):
        if editors not in apps:
            apps[editors] = make_app(library, CONTENT_EDITORS=editors, **folders)
        return apps[editors].test_client()

    yield get
    for app in apps.values():
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def items(library):
    """The catalogue and curriculum, with just row 1 in each table: a function that returns their rows."""
    run_sql(
        library,
        "DELETE FROM content_library; "
        "INSERT INTO content_library (id, content_type, subject_area, age_range, title, file_path) "
        "VALUES (1, 'story', 'math', '3-5', 'A story', %s)",
        (SAMPLES["<path:path>"],),
    )
    for table, columns, values in CURRICULUM.values():
        run_sql(library, f"DELETE FROM {table}; INSERT INTO {table} (id, {columns}) VALUES (1, {values})")
    tables = ("content_library", *(table for table, *_ in CURRICULUM.values()))
    return lambda: [run_sql(library, f"SELECT * FROM {table}") for table in tables]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", MATRIX)
def test_each_caller_gets_in_where_the_matrix_says(start, items, route, caller):
    expected = EXPECTED[MATRIX[route]].get(caller)

    for answer in calls(start("1"), route, caller):
        assert_door(answer, expected)


@pytest.mark.parametrize("route", [route for route, who in MATRIX.items() if who is EDITOR])
def test_every_parent_is_an_editor_where_none_is_named(start, items, route):
    for answer in [*calls(start(""), route, "parent"), *calls(start(""), route, "editor")]:
        assert_door(answer, None)
    for answer in calls(start(""), route, "child"):
        assert_door(answer, CHILD)


@pytest.mark.parametrize("caller", EXPECTED[EDITOR])
@pytest.mark.parametrize("route", [route for route, who in MATRIX.items() if who is EDITOR])
def test_who_is_refused_changes_nothing(start, items, route, caller):
    before = items()
    method, path = request_of(route)
    answer = start("1").open(path, method=method, json=BODY, query_string={"purge": "true"}, headers=CALLERS[caller]())

    assert_door(answer, EXPECTED[EDITOR][caller])
    assert items() == before


@pytest.mark.parametrize(
    ("route", "caller"),
    [
        (route, caller)
        for route, who in MATRIX.items()
        if "<" in route
        for caller in EXPECTED[who]
        if EXPECTED[who][caller] is not NO_RELATION  # the contract tells a parent that a child does not exist
    ],
)
def test_a_refusal_tells_neither_what_there_is_nor_what_is_wrong(start, items, route, caller):
    method, path = request_of(route)
    for missing in ("404", "9" * 30):
        nothing = path.replace("1", missing).replace("spider", missing)
        answer = start("1").open(f"{nothing}?purge=maybe&page=0", method=method, headers=CALLERS[caller]())
        assert_door(answer, EXPECTED[MATRIX[route]][caller])


def test_every_route_is_in_the_matrix():
    assert {name for name, endpoint in routes().items() if endpoint.startswith("library.")} == set(MATRIX)


def test_there_are_no_routes_but_ours():
    assert [name for name, endpoint in routes().items() if not endpoint.startswith("library.")] == []


def routes():
    """The endpoints of an application by method and rule."""
    app = create_app(
        {"APP_ENV": "testing", "SECRET_KEY": SECRET, "DATABASE_URL": "postgresql://", "REDIS_URL": "redis://"}
    )
    return {
        f"{method} {rule.rule}": rule.endpoint
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }


def request_of(route):
    """The method of a route and a path that matches it."""
    method, path = route.split()
    for variable, sample in SAMPLES.items():
        path = path.replace(variable, sample)
    return method, path


def calls(client, route, caller):
    """The answers to `caller` by each spelling of a route: both slashes (no file has one), and HEAD where GET is."""
    method, path = request_of(route)
    for spelled in (path,) if "<path:" in route else (path, f"{path}/"):
        for verb in ("GET", "HEAD") if method == "GET" else (method,):
            yield client.open(spelled, method=verb, headers=CALLERS[caller](), buffered=True)


def assert_door(answer, refusal):
    """That the caller was refused in these words, or, where `refusal` is None, got as far as the view."""
    if refusal is None:
        gone = answer.request.method == "DELETE" and answer.json in GONE  # by the other spelling, just before
        assert gone or answer.status_code in (200, 201, 400)
        return
    status, message = refusal
    assert answer.status_code == status
    assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    assert answer.mimetype == "application/json"
    assert answer.request.method == "HEAD" or answer.json == {"message": message}
