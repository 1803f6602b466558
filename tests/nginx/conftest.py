"""A library with its files, and the ways to them: gunicorn alone, the guide's nginx, ours, ours without gunicorn."""

import hashlib
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import flask_migrate
import pytest
from flask import Flask

from tests.conftest import SECRET, Servers, bearer, make_child, make_parent, run_sql
from tests.nginx import servers as run
from tests.nginx.cases import SONG, SONG_TIME
from tests.nginx.servers import Server

HASHED = f"audio/song-{hashlib.sha256(SONG).hexdigest()[:8]}.mp3"
ODD_NAMES = [
    "audio/Bär und Löwe.mp3",
    "audio/100% #1 what?.mp3",
    "audio/a+b&c=d;e,f.mp3",
    "audio/it's (a) [song] ~ $!@.mp3",
    'audio/"quoted".mp3',
    "audio/小熊 🐻.mp3",
    "audio/%2e%2e%2f.mp3",
]
MEDIA = [
    f"images/{name}.{kind}" for kind in ("mp3", "wav", "jpg", "jpeg", "png", "gif") for name in ("all", "a-0123abcd")
]
TYPES = [
    *MEDIA,
    *(f"images/all.{kind}" for kind in ("mp4", "webm", "pdf", "txt", "json", "html", "svg", "css", "woff2")),
]
UNLISTED = ["audio/LOUD.MP3", "audio/.hidden.mp3", ".hidden/song.mp3", "audio/a\nb.mp3", "audio/c:d.mp3"]
ITEMS = ["audio/song.mp3", HASHED, "audio/retired.mp3", "video/film.mp4", "documents/notes.txt", *ODD_NAMES]


@dataclass(frozen=True)
class Library:
    """Where it is, the key of its links, and who calls: the headers of an editor and of a reader."""

    content: Path
    assets: Path
    logs: Path
    settings: dict[str, str]
    key: Path
    editor: dict[str, str]
    reader: dict[str, str]

    def links(self, server: Server, active: str = "true") -> dict[str, str]:
        """The signed link of each item's file, by path, as the catalogue gives it to an editor."""
        links: dict[str, str] = {}
        for page in range(1, 10):
            answer = json.loads(server.ask(f"/content?per_page=50&page={page}&active={active}", self.editor).body)
            links |= {item["file_path"]: item["file_url"] for item in answer["content"] if item["file_path"]}
            if not answer["pagination"]["has_next"]:
                break
        return links

    def signature(self, path: str, expires: object, audience: str = "all") -> str:
        """What docs/files.md says of signatures, once more."""
        text = f"{audience}\n{expires}\n{path}".encode(errors="surrogateescape")
        return hmac.new(self.secret.encode(), text, hashlib.sha256).hexdigest()

    def signed(self, path: str, expires: object = None, audience: str = "all") -> str:
        """The query string of a link to `path`, good for an hour unless `expires` says otherwise."""
        expires = int(time.time()) + 3600 if expires is None else expires
        return f"expires={expires}&signature={self.signature(path, expires, audience)}"

    def upload(self, name: str, data: bytes) -> tuple[dict[str, str], str, bytes]:
        """Headers, method and body of an editor's upload."""
        head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        headers = self.editor | {"Content-Type": "multipart/form-data; boundary=b"}
        return headers, "POST", head.encode() + data + b"\r\n--b--\r\n"

    @property
    def secret(self) -> str:
        """The key of links."""
        return str(json.loads(self.key.read_text()))


@pytest.fixture(scope="session")
def library(create_database: Callable[..., str], make_app: Callable[..., Flask], servers: Servers) -> Iterator[Library]:
    """A library in a folder that nginx's workers may enter."""
    run.find_nginx()
    url = create_database("backend")
    with make_app(url).app_context():
        flask_migrate.upgrade()
    with tempfile.TemporaryDirectory(prefix="library-nginx-", dir="/tmp") as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield _fill(folder, url, servers)


def _fill(folder: Path, url: str, servers: Servers) -> Library:
    content, assets, logs = folder / "content", folder / "assets", folder / "logs"
    for path in {*ITEMS, *TYPES, *UNLISTED}:
        _write(content / path)
    for path in {*TYPES, "images/logo.svg"}:
        _write(assets / path)
    logs.mkdir()
    (content / "audio" / "folder.mp3").mkdir()
    _lay_traps(folder, content)
    settings = {
        "APP_ENV": "testing",
        "SECRET_KEY": SECRET,
        "DATABASE_URL": url,
        "REDIS_URL": servers.redis_url,
        "CONTENT_STORAGE_PATH": str(content),
        "ASSETS_STORAGE_PATH": str(assets),
        "UPLOADS_STORAGE_PATH": str(folder / "uploads"),
        "GRACEFUL_TIMEOUT": "2",
    }
    key = _make_key(folder, settings)
    return Library(content, assets, logs, settings, key, *_people_and_items(url))


def _lay_traps(folder: Path, content: Path) -> None:
    """A file beside the folder of content, and symbolic links that lead to it."""
    (folder / "secret.mp3").write_bytes(b"outside")
    (content / "audio" / "out.mp3").symlink_to(folder / "secret.mp3")
    (content / "outside").symlink_to(folder)


def _people_and_items(url: str) -> tuple[dict[str, str], dict[str, str]]:
    sql = partial(run_sql, url)
    for path in ITEMS:
        sql(
            "INSERT INTO content_library (content_type, subject_area, age_range, file_path, active) "
            "VALUES ('story', 'math', '3-5', %s, %s)",
            (path, path != "audio/retired.mp3"),
        )
    parent = make_parent(sql)
    return bearer(user_id=parent, user_type="parent"), bearer(user_id=make_child(sql, parent), user_type="child")


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(SONG)
    os.utime(path, (SONG_TIME, SONG_TIME + 0.75))


def _make_key(folder: Path, settings: dict[str, str]) -> Path:
    """The file of the key, made by the very command that signed-media.conf tells."""
    key = folder / "link-key.json"
    command = next(line for line in (run.SHIPPED / "signed-media.conf").read_text().splitlines() if "umask" in line)
    command = command.strip("# ").replace("/etc/nginx/keys/link-key.json", str(key))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["sh", "-ec", command], cwd=run.PROJECT, env=settings | {"PATH": path}, check=True, timeout=60)
    return key


@pytest.fixture(scope="session")
def ways() -> Iterator[ExitStack]:
    """What is running, stopped at the end in the opposite order."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def plain(library: Library, ways: ExitStack) -> Server:
    """gunicorn, which sends the bytes itself."""
    return ways.enter_context(run.gunicorn(library.settings, library.logs))


@pytest.fixture(scope="session")
def guided(library: Library, plain: Server, backend_port: int, ways: ExitStack) -> Server:
    """The guide's nginx before gunicorn."""
    return ways.enter_context(run.nginx(run.guide_config(plain.port, backend_port), library.logs))


@pytest.fixture(scope="session")
def accelerated(library: Library, ways: ExitStack) -> Server:
    """gunicorn, which leaves the bytes to nginx."""
    return ways.enter_context(run.gunicorn(library.settings | {"USE_X_ACCEL_REDIRECT": "true"}, library.logs))


@pytest.fixture(scope="session")
def shipped(library: Library, accelerated: Server, backend_port: int, ways: ExitStack) -> Server:
    """Our nginx before gunicorn."""
    return ways.enter_context(run.nginx(our_config(library, accelerated.port, backend_port), library.logs))


@pytest.fixture(scope="session")
def alone(library: Library, backend_port: int, ways: ExitStack) -> Server:
    """Our nginx while there is no gunicorn: what it sends, it sends without Python."""
    port = ways.enter_context(run.nobody_listens())
    return ways.enter_context(run.nginx(our_config(library, port, backend_port), library.logs))


@pytest.fixture(scope="session")
def backend_port(ways: ExitStack) -> int:
    """Where a stand-in for the Flask backend listens."""
    return ways.enter_context(run.backend())


def our_config(library: Library, library_port: int, backend_port: int, key: Path | None = None) -> run.Config:
    """What we ship, for this library."""
    return run.shipped_config(library_port, backend_port, library.content, library.assets, key or library.key)


def quoted(path: str) -> str:
    """The path below ``/content/`` as a browser sends it."""
    return f"/content/{quote(path)}"
