"""A bounded load of every route that there is, found from the application itself."""

import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from library_server import create_app
from tests.conftest import SECRET
from tests.dropin.conftest import Site
from tests.uploads.forms import HEADERS, upload_form

CLIENTS = 3
ITEM = {"content_type": "game", "subject_area": "music", "age_range": "all", "title": "Made under load"}
ROWS = {
    "heggerty": {"lesson_number": 1, "skill_focus": "rhyming", "activity_type": "song"},
    "nursery-rhymes": {"rhyme_name": "Hickory Dickory Dock"},
    "multi-subject": {"subject": "math", "grade_level": "K", "unit_title": "Ten", "lesson_sequence": 1},
}
QUERIES = {"/content/search": "?q=lesson", "/api/content/search": "?q=lesson", "/content/suggest": "?q=les"}
LAST = ("PUT", "PATCH", "DELETE")  # of one item's or row's methods, in this order


def routes() -> list[tuple[str, str]]:
    """Method and rule of every route, in an order in which a thing is made, read, changed, deleted."""
    # Nothing is asked of these two servers.
    app = create_app({"DATABASE_URL": "postgresql://127.0.0.1/none", "REDIS_URL": "redis://h", "SECRET_KEY": SECRET})
    found = [(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods - {"OPTIONS"}]
    return sorted(set(found), key=lambda route: (LAST.index(route[0]) if route[0] in LAST else -1, route[1], route[0]))


def run_everything(site: Site, rounds: int) -> list[tuple[str, str, int]]:
    """Every route, asked `rounds` times by each of three clients: method, rule and status of every answer."""
    wanted = routes()  # once: Python 3.11.2 fails when several threads make the rules of an application at a time
    with ThreadPoolExecutor(CLIENTS) as pool:
        runs = [
            pool.submit(lambda: [line for _ in range(rounds) for line in _one_round(site, wanted)])
            for _ in range(CLIENTS)
        ]
        return [line for one in runs for line in one.result()]


def _one_round(site: Site, wanted: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str, int]]:
    parent, child = site.login("parent"), site.login("child", "guide")
    made = {"": site.ask("/content", parent, "POST", json=ITEM).json()["content_id"]}
    for name, row in ROWS.items():
        made[name] = site.ask(f"/content/curriculum/{name}", parent, "POST", json=row).json()["id"]
    upload = {"data": upload_form(json.dumps(made).encode(), "made.json", ITEM), "headers": parent | HEADERS}
    made["download"] = requests.post(f"{site.nginx.url}/api/content/upload", timeout=20, **upload).json()["content_id"]
    for method, rule in wanted:
        if site.mounted and not rule.startswith(("/content", "/assets", "/api/content")):
            continue
        server = site.nginx if rule.startswith(("/content", "/assets", "/api/content")) else site.library
        headers = child if method in ("GET", "HEAD") and "analytics" not in rule else parent
        asked: dict[str, Any] = {"headers": headers}
        if rule.endswith("upload"):
            asked = upload
        elif method in ("POST", "PUT", "PATCH"):
            asked["json"] = next((row for name, row in ROWS.items() if name in rule), ITEM)
        url = server.url + _path(rule, made, site) + QUERIES.get(rule, "")
        yield method, rule, requests.request(method, url, timeout=20, allow_redirects=False, **asked).status_code


def _path(rule: str, made: dict[str, int], site: Site) -> str:
    kind = next((name for name in (*ROWS, "download") if name in rule), "")
    path = re.sub(r"<int:(item|row)_id>", str(made[kind]), rule).replace("<int:child_id>", str(site.child))
    path = path.replace("<name>", "swagger-ui.css")
    return path.replace("<path:path>", "images/logo.svg" if "assets" in rule else "documents/deep/er/notes.txt")
