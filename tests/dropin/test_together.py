"""Whoever knows the backend, and the backend itself, notices nothing when the Library Server takes over content."""

import re
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.dropin.backend import PICTURE
from tests.dropin.conftest import TREE, Site
from tests.dropin.everything import routes, run_everything
from tests.uploads.forms import HEADERS, upload_form

SCRIPT = Path(__file__).parent / "guide_script.txt"
# The contract's table of keys (section 4).
OURS = re.compile(
    rb"(content_cache:\d+|search_cache:[^:]+|rate_limit:((child-)?\d+|ip-[^:]+(:[^:]+)*):.+|library:.+)\Z"
)
COUNTERS = (b"library:usage:counts", b"library:usage:batch")
# What the backend alone writes; of system_analytics only the rows that are its own.
ITS_TABLES = (
    "parent",
    "child",
    "progress",
    "learning_sessions",
    "voice_interactions",
    "assessments",
    "system_analytics",
)
QUEUES = (b"celery", b"_kombu.unacked", b"_kombu.unacked_index")
THEIRS = {b"flask_session", b"celery", b"celery_task", b"_kombu.binding.celery", b"socketio", b"socketio_room"}
THEIRS |= {b"jwt_blacklist", b"blacklisted_token"}
STORED_AS_SHOWN = (
    *("content_type", "subject_area", "age_range", "skill_objectives", "prerequisite_skills", "difficulty_level"),
    *("content_metadata", "file_path", "download_priority", "active"),
)
ITEM_TYPES = dict.fromkeys(("content_id", "download_priority", "usage_count"), int)
ITEM_TYPES |= dict.fromkeys(("title", "content_type", "subject_area", "file_path", "file_url", "created_at"), str)
ITEM_TYPES |= {"skill_objectives": list, "prerequisite_skills": list, "content_metadata": dict, "active": bool}
READ = [
    "/content",
    "/content/",
    "/content/subjects",
    "/content/search?q=lesson",
    "/content/images/lesson%20picture.png",
]


@pytest.mark.parametrize("dialect", ["backend", "guide"])
@pytest.mark.parametrize("kind", ["parent", "child"])
def test_a_login_opens_the_library_and_a_logout_closes_it_at_once(site: Site, kind: str, dialect: str) -> None:
    token = site.login(kind, dialect)
    paths = [*READ, f"/content/{site.lesson()}", f"/content/child/{site.child}/recommendations"]
    for _ in range(2):  # the second time from what is cached
        assert [site.ask(path, token).status_code for path in paths] == [200] * len(paths)
    other = site.login(kind, dialect)
    assert site.ask("/logout", token, "POST").status_code == 200
    for path in paths:
        answer = site.ask(path, token)
        assert (answer.status_code, answer.json()) == (401, {"message": "Token has been revoked"})
    assert site.ask("/content", other).status_code == 200


def test_the_guides_own_script_works(site: Site) -> None:
    script = SCRIPT.read_text()
    for theirs, ours in (("localhost:8000", site.backend.port), ("localhost:8001", site.library.port)):
        assert theirs in script
        script = script.replace(theirs, f"127.0.0.1:{ours}")
    names: dict[str, Any] = {}
    exec(script, names)  # noqa: S102 (the guide's)
    assert names["content_response"].status_code == 200
    assert isinstance(names["content_response"].json()["content"], list)


def test_what_the_backend_has_written_stays_as_it_is_under_a_load_of_every_route(site: Site) -> None:
    for number in range(5):
        site.lesson(title=f"Lesson {number}")
    for kind, dialect in (("parent", "guide"), ("child", "backend")):
        site.ask("/logout", site.login(kind, dialect), "POST")
    keys, rows, queue = _keys(site), {table: _rows(site, table) for table in ITS_TABLES}, _queues(site)
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(run_everything, site, 1)
        lessons = 0
        while not load.done():
            site.lesson(title="Meanwhile")
            lessons += 1
        answers = load.result()
    assert lessons > 5
    _nothing_failed(site, answers)
    for key, (value, deadline) in keys.items():
        assert site.redis.dump(key) == value, key
        left = site.redis.pttl(key) / 1000
        assert (deadline is None) == (left < 0), key
        assert deadline is None or abs(time.monotonic() + left - deadline) < 0.5, key
    assert [now - before for now, before in zip(_queues(site), queue, strict=True)] == [lessons] * 3
    for table, before in rows.items():
        new = _rows(site, table) - before
        assert before - _rows(site, table) == Counter(), table
        assert new.total() == (0 if table in ("parent", "child", "progress") else lessons), table
    _new_keys_are_of_the_contract(site)


def _nothing_failed(site: Site, answers: list[tuple[str, str, int]]) -> None:
    """Every route was asked, and every request was one that succeeds."""
    asked = {(method, rule) for method, rule, _ in answers}
    beyond_us = [rule for _, rule in routes() if not rule.startswith(("/content", "/assets", "/api/content"))]
    assert asked == {route for route in routes() if not (site.mounted and route[1] in beyond_us)}
    assert len(asked) > 50
    assert [line for line in answers if line[2] not in (200, 201)] == []


def _keys(site: Site) -> dict[bytes, tuple[bytes, float | None]]:
    """What the backend keeps in Redis, but for its queues: value and the time at which it ends."""
    keys = {}
    for key in site.redis.scan_iter():
        if not OURS.match(key) and key not in QUEUES:
            left = site.redis.pttl(key) / 1000
            keys[key] = site.redis.dump(key), None if left < 0 else time.monotonic() + left
    assert {key.partition(b":")[0].partition(b"-")[0] for key in keys} == THEIRS
    return keys


def _queues(site: Site) -> list[int]:
    """How much is in the queues to which the backend goes on to add."""
    return [site.redis.llen("celery"), site.redis.hlen("_kombu.unacked"), site.redis.zcard("_kombu.unacked_index")]


def _rows(site: Site, table: str) -> Counter[str]:
    """The backend's rows; without the two columns that it goes on to change."""
    component = "WHERE server_component = 'AI'" if table == "system_analytics" else ""
    rows = site.sql(
        f"SELECT (to_jsonb(t) - 'last_login' - 'total_stars' - 'rhyming')::text AS r FROM {table} t {component}"
    )
    return Counter(row["r"] for row in rows)


def _new_keys_are_of_the_contract(site: Site) -> None:
    seen = set()
    for key in site.redis.scan_iter():
        if key.partition(b":")[0].partition(b"-")[0] in THEIRS or key in QUEUES:
            continue
        assert OURS.match(key), key
        assert site.redis.pttl(key) > 0 or (key in COUNTERS and site.redis.hlen(key) < 20_000), key
        seen.add(key.partition(b":")[0])
    assert seen == {b"content_cache", b"search_cache", b"rate_limit", b"library"}


def test_what_the_backend_inserts_and_changes_is_listed_and_found(site: Site) -> None:
    token = site.login("child")
    shown = site.ask("/content/search?q=submarine", token).json()["pagination"]["total"]
    item = site.lesson(title="The yellow submarine")
    found = _wait_for(lambda: site.ask("/content/search?q=submarine", token).json()["content"], shown + 1)[-1]
    assert (found["content_id"], found["title"], found["file_path"]) == (item, "The yellow submarine", PICTURE)
    listed = site.ask("/content?q=yellow+submarine&per_page=50", token).json()["content"]
    assert item in [each["content_id"] for each in listed]
    assert site.ask(found["file_url"], {}).content == (site.data / "content" / PICTURE).read_bytes()
    site.sql("UPDATE content_library SET active = false, updated_at = now() WHERE content_id = %s", (item,))
    _wait_for(lambda: site.ask("/content/search?q=submarine", token).json()["content"], shown)
    assert site.ask(f"/content/{item}", token).status_code == 404


def _wait_for(ask: Callable[[], list[Any]], length: int) -> list[Any]:
    """The answer, once it is so long: writes of the backend show within CACHE_POLL_SECONDS."""
    deadline = time.monotonic() + 5
    while len(found := ask()) != length:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_the_stored_files_are_served_byte_for_byte(site: Site) -> None:
    token = site.login("child")
    for kind, files in TREE.items():
        for name in files:
            answer = site.ask(f"/{kind}/{quote(name)}", token if kind == "content" else {})
            assert (answer.status_code, answer.content) == (200, (site.data / kind / name).read_bytes()), name


# The guide's table of routes, as an old client asks for them.
OLD_ROUTES = ["/content", "/content/{item}", "/content/images/lesson%20picture.png", "/assets/images/logo.svg"]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("route", OLD_ROUTES[:2])
def test_old_routes_answer_directly_with_and_without_a_slash(site: Site, route: str, slash: str) -> None:
    answer = site.ask(route.format(item=site.lesson()) + slash, site.login())
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    answer = site.ask(route.format(item=1) + slash, {})
    assert (answer.status_code, answer.json()) == (401, {"message": "Authentication token is missing"})


def test_the_list_and_an_item_have_the_old_shape(site: Site) -> None:
    item = site.lesson(title="Clouds")
    token = site.login("child")
    filters = {"subject_area": "science", "age_range": "6-8", "content_type": "lesson", "difficulty_level": "standard"}
    said = site.ask("/content/", token, params=filters | {"page": 1, "per_page": 50}).json()
    assert {"content", "filters_applied", "pagination"} <= set(said)
    assert said["filters_applied"] == filters
    assert {"page", "per_page", "total", "pages", "has_next", "has_prev"} <= set(said["pagination"])
    shown = site.ask(f"/content/{item}", token).json()["content"]
    for name, kind in ITEM_TYPES.items():
        assert isinstance(shown[name], kind), name
    row = site.sql(
        f"SELECT {', '.join(STORED_AS_SHOWN)}, created_at FROM content_library WHERE content_id = %s", (item,)
    )
    assert {name: shown[name] for name in STORED_AS_SHOWN} == {name: row[0][name] for name in STORED_AS_SHOWN}
    assert shown["created_at"] == row[0]["created_at"].isoformat()


def test_an_item_is_made_by_the_old_request(site: Site) -> None:
    parent, draft = site.login(), {"content_type": "story", "subject_area": "math", "age_range": "3-5"}
    made = site.ask("/content", parent, "POST", json=draft)
    assert made.status_code == 201
    told = made.json()
    assert told["message"] == "Content created successfully"
    assert (told["content_type"], told["subject_area"]) == ("story", "math")
    row = site.sql("SELECT content_type, active FROM content_library WHERE content_id = %s", (told["content_id"],))
    assert row == [{"content_type": "story", "active": True}]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (("application/x-www-form-urlencoded", "content_type=story"), "Request must be JSON"),
        (("application/json", "{"), "Invalid JSON data"),
        (("application/json", '{"content_type": "story"}'), "Missing required fields: subject_area, age_range"),
    ],
    ids=["a form", "broken", "incomplete"],
)
def test_a_bad_request_is_told_in_the_old_words(site: Site, body: tuple[str, str], message: str) -> None:
    answer = site.ask("/content", site.login() | {"Content-Type": body[0]}, "POST", data=body[1])
    assert (answer.status_code, answer.json()["message"]) == (400, message)


def test_the_old_upload_works(site: Site) -> None:
    token, data = site.login("parent", "guide"), b"uploaded by the old form"
    answer = site.ask("/api/content/upload", token | HEADERS, "POST", data=upload_form(data, "old form.txt", {}))
    assert (answer.status_code, answer.json()["message"]) == (201, "File uploaded successfully")
    assert {"file_path", "access_url", "filename", "original_filename", "size"} <= set(answer.json())
    assert (site.data / "content" / answer.json()["file_path"]).read_bytes() == data
    nothing = site.ask("/api/content/upload", token, "POST", files={"other": ("a.txt", b"x")})
    assert (nothing.status_code, nothing.json()["message"]) == (400, "No file provided")


@pytest.mark.parametrize(
    ("method", "target", "kind", "status", "message"),
    [
        ("GET", "/content/999999", "parent", 404, "Content not found"),
        ("GET", "/content/audio/missing.mp3", "parent", 404, "Content file not found"),
        ("GET", "/assets/icons/missing.png", None, 404, "Asset file not found"),
        ("POST", "/content", "child", 403, "Parent access required"),
        ("POST", "/api/content/upload", "child", 403, "Parent access required"),
        ("GET", "/content/child/999999/recommendations", "child", 403, "Access denied"),
        ("POST", "/content/1", "parent", 405, None),
    ],
)
def test_errors_are_those_that_clients_know(
    site: Site, method: str, target: str, kind: str | None, status: int, message: str | None
) -> None:
    answer = site.ask(target, site.login(kind) if kind else {}, method, **({"json": {}} if method == "POST" else {}))
    assert answer.status_code == status
    assert message is None or answer.json()["message"] == message


def test_head_is_answered_as_get_is(site: Site) -> None:
    for target in OLD_ROUTES[2:]:
        answer = site.ask(target, site.login() | {"Accept-Encoding": "identity"}, "HEAD")
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["Content-Length"]) > 0


def test_all_else_is_still_the_backends(site: Site) -> None:
    assert site.ask("/", {}).json() == {"service": "backend"}
    assert site.ask("/nowhere", {}).headers["Content-Type"].startswith("text/html")
