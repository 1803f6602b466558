"""No name, e-mail, token, signature, path, query or address reaches a log or a metric, whatever a request is like."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import jwt
import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder

from library_server.extensions import db
from library_server.lib import json
from library_server.web.logs import JsonLines
from tests.conftest import SECRET, Servers, make_child, make_parent, run_sql
from tests.uploads.folders import Folders
from tests.uploads.server import running
from tests.web.test_openapi import ITEM, _tour

pytestmark = pytest.mark.parametrize("shape", ["guide"])

PARENT, CHILD, EMAIL = "Zebedee Quillfeather", "Marigold Quillfeather", "zebedee.quillfeather@example.org"
TITLE, ADDRESS = "Zaubermaus", "203.0.113.77"
OWN_ADDRESS = ("Listening at", "Current configuration")
Request = tuple[str, str, dict[str, Any]]


class Family:
    """A parent and a child with names that are nowhere else, and every way in which they sign in."""

    def __init__(self, url: str) -> None:
        self.parent = make_parent(lambda *told: run_sql(url, *told), EMAIL)
        self.child = make_child(lambda *told: run_sql(url, *told), self.parent)
        run_sql(url, "UPDATE parent SET name = %s", (PARENT,))
        run_sql(url, "UPDATE child SET name = %s", (CHILD,))
        run_sql(url, "ALTER TABLE content_library ADD CONSTRAINT no_mice CHECK (description NOT LIKE '%%mice%%')")
        now = int(time.time())
        guide = {"iat": now, "exp": now + 600}
        backend = guide | {"jti": "jti-of-zebedee", "email": EMAIL}
        self.tokens = {
            "parent": self._token(guide | {"user_id": self.parent, "user_type": "parent", "sub": str(self.parent)}),
            "child": self._token(guide | {"user_id": self.child, "user_type": "child"}),
            "backend parent": self._token(backend | {"id": self.parent, "type": "parent"}),
            "backend child": self._token(backend | {"id": self.child, "type": "child", "parent_id": self.parent}),
            "expired": self._token({"iat": now - 99, "exp": now - 9, "id": self.parent, "type": "parent"}),
            "foreign": self._token(
                guide | {"id": self.parent, "type": "parent"}, "another-secret-of-at-least-32-bytes"
            ),
            "stranger": self._token(guide | {"id": 99_999, "type": "parent"}),
            "garbage": "garbage-of-zebedee",
        }

    @staticmethod
    def _token(claims: dict[str, Any], secret: str = SECRET) -> str:
        return jwt.encode(claims, secret, "HS256")

    def headers(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[who]}", "X-Real-IP": ADDRESS, "Referer": f"/?{EMAIL}"}

    def secrets(self) -> list[str]:
        """What must be found nowhere."""
        parts = [part for token in self.tokens.values() for part in (token, token.rpartition(".")[2])]
        words = [PARENT, CHILD, "Quillfeather", EMAIL, quote(EMAIL), "jti-of-zebedee", TITLE, ADDRESS, SECRET]
        return [*parts, *words, "signature", "Bearer", "/content/1?", "file.txt", "mice", "q=", "/content/audio/"]

    def requests(self, link: str, dialects: int = 2) -> Iterator[Request]:
        """Every route as each of them, well and badly; sign-ins that fail; what only a log would tell."""
        for parent, child in (("backend parent", "backend child"), ("parent", "child"))[:dialects]:
            for method, path, _, headers, arguments in _tour({"who": parent}, {"who": child}):
                if len(str(arguments)) > 100_000:
                    continue  # too large, which says nothing new here and takes long
                known = self.headers(headers["who"]) if "who" in headers else {}
                yield method, path, arguments | {"headers": known | arguments.get("headers", {})}
        for who in self.tokens:
            for path in ("/content", f"/content/{TITLE}?name={CHILD}", f"/nowhere/{EMAIL}?token={self.tokens[who]}"):
                yield "GET", path, {"headers": self.headers(who)}
        named = {"headers": self.headers("parent"), "json": ITEM | {"title": TITLE, "description": f"of {CHILD}"}}
        yield "POST", "/content", named
        yield "POST", "/content", named | {"json": named["json"] | {"description": f"the mice of {CHILD}"}}  # 500
        yield "GET", f"/content/search?q={CHILD}", {"headers": self.headers("backend child")}
        yield "GET", f"/content?subject_area={CHILD}&page=x", {"headers": self.headers("child")}
        yield "GET", link, {}
        yield "GET", link + "0", {}
        yield CHILD.split()[0].upper(), "/content", {"headers": {"X-Request-ID": EMAIL}}
        yield "GET", "/content", {"headers": {"Authorization": f"{self.tokens['parent']} Bearer"}}


@pytest.fixture
def family(database_url: str) -> Iterator[Family]:
    yield Family(database_url)
    run_sql(database_url, "ALTER TABLE content_library DROP CONSTRAINT no_mice")


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What any logger of this process says, as production and development write it."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonLines().format(record))
            if record.name.startswith("library_server."):
                lines.append(logging.Formatter().format(record))

    listener, ours = Listener(logging.DEBUG), logging.getLogger("library_server")
    logging.getLogger().addHandler(listener)
    ours.setLevel(logging.DEBUG)
    yield lines
    logging.getLogger().removeHandler(listener)
    ours.setLevel(logging.INFO)


def test_within_the_process(
    make_app: Callable[..., Flask], database_url: str, redis: Any, family: Family, heard: list[str], tmp_path: Path
) -> None:
    app = make_app(database_url, **_library(tmp_path), CACHE_TTL=600, RATE_LIMIT_ANONYMOUS="40 per minute")
    logging.getLogger("library_server").setLevel(logging.DEBUG)
    client = app.test_client()
    link = _link(lambda path, headers: client.get(path, headers=headers).get_json(), family, database_url)
    statuses = set()
    for method, path, arguments in family.requests(link):
        with client.open(path, method=method, **arguments) as response:
            statuses.add(response.status_code)
    away = make_app("postgresql://nobody@127.0.0.1:1/nothing", **_library(tmp_path))
    statuses.add(away.test_client().get(f"/content?page=2&x={EMAIL}", headers=family.headers("child")).status_code)
    assert statuses >= {200, 201, 206, 304, 400, 401, 403, 404, 405, 409, 412, 416, 429, 500, 503}
    counted = client.get("/metrics").get_data(as_text=True)
    assert "library_requests_total" in counted
    said = "\n".join(heard)
    assert "CheckViolation 23514" in said
    with app.app_context():
        db.engine.dispose()
    assert [secret for secret in family.secrets() if secret in said] == []
    assert [secret for secret in family.secrets() if secret in counted] == []
    assert set(re.findall(r'method="(\w+)"', counted)) <= {"GET", "POST", "PUT", "PATCH", "DELETE", "OTHER"}


def test_by_real_workers(database_url: str, servers: Servers, redis: Any, family: Family, tmp_path: Path) -> None:
    folders = Folders.below(tmp_path)
    told = {"LOG_LEVEL": "DEBUG", "CACHE_TTL": 600, **_library(tmp_path)}
    with running(folders, database_url, servers.redis_url, **told) as server:

        def ask(path: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes = b"") -> bytes:
            connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse().read()
            connection.close()
            return answer

        link = _link(lambda path, headers: json.decode(ask(path, headers)), family, database_url)
        for method, path, arguments in family.requests(link, dialects=1):
            request = EnvironBuilder(path=path, method=method, **arguments).get_request()
            target = urlsplit(request.url)
            ask(f"{target.path}?{target.query}", dict(request.headers), method, request.get_data())
        token = family.tokens["parent"]
        for broken in (
            f"GET /content?{EMAIL} HTTX/1.1\r\n\r\n",
            f"GET /content HTTP/1.1\r\nAuthorization {token}\r\n\r\n",
            f"GET /content HTTP/1.1\r\nAuthor ization: Bearer {token}\r\n\r\n",
            f"POST /content?{EMAIL} HTTP/1.1\r\nTransfer-Encoding: {token}\r\n\r\nzz\r\n",
        ):
            with server.connect() as connection, suppress(OSError):
                connection.sendall(broken.encode())
                connection.recv(1000)
        counted = ask("/metrics").decode()
        assert "library_requests_total" in counted
        lines = server.said.splitlines()
    parsed = [json.decode(line.encode()) for line in lines]
    assert {"gunicorn.error", "library_server.requests", "library_server.web.errors"} <= {
        line["logger"] for line in parsed
    }
    said = "\n".join(lines)
    assert [secret for secret in family.secrets() if secret in said] == []
    assert [secret for secret in family.secrets() if secret in counted] == []
    assert "Invalid request from ip=…" in said
    assert "CheckViolation 23514" in said
    assert [line for line in parsed if "127.0.0.1" in str(line) and not line["message"].startswith(OWN_ADDRESS)] == []


def _library(folder: Path) -> dict[str, str]:
    for name in ("content/audio", "assets/icons"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "file.txt").write_text("hello")
    return {f"{name.upper()}_STORAGE_PATH": str(folder / name) for name in ("content", "assets", "uploads")}


def _link(read: Callable[[str, dict[str, str]], Any], family: Family, url: str) -> str:
    """A signed link, of the item that the tour wants as its first."""
    columns = "content_type, subject_area, age_range, title, file_path, content_metadata, skill_objectives"
    run_sql(
        url,
        f"INSERT INTO content_library ({columns}) VALUES ('story', 'math', '3-5', %s, 'audio/file.txt', '{{}}', '[]')",
        (TITLE,),
    )
    run_sql(url, "INSERT INTO progress (child_id, content_id) SELECT %s, id FROM content_library", (family.child,))
    return str(read("/content/1", family.headers("parent"))["content"]["file_url"])
