"""An empty library and content folder for every import, and short ways to run one."""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from click.testing import Result
from flask import Flask

from library_server.catalog.importing import Report, import_manifest
from library_server.extensions import db
from tests.catalog_import.manifests import as_csv


@pytest.fixture(scope="session")
def application(
    migrated: Callable[[str], str], make_app: Callable[..., Flask], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Flask]:
    """``application("guide")``: an application on a database of that shape; one a shape and session."""
    folder = tmp_path_factory.mktemp("import")
    return cache(lambda shape: make_app(migrated(shape), CONTENT_STORAGE_PATH=str(folder / shape / "content")))


@pytest.fixture
def app(
    shape: str, application: Callable[[str], Flask], database_url: str, content: Path, redis: redis_py.Redis
) -> Iterator[Flask]:
    """The application, its context entered."""
    made = application(shape)
    with made.app_context():
        yield made
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def content(shape: str, application: Callable[[str], Flask]) -> Path:
    """The content folder; nobody has made it yet."""
    folder = Path(application(shape).extensions["library_config"].content_storage_path)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of files to import."""
    folder = tmp_path / "files"
    for name in ("audio/one.mp3", "audio/two.mp3", "images/three.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(f"the bytes of {name}".encode())
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """``write(row, row…)``, ``write("text")`` or ``write(b"bytes")``: a manifest."""

    def make(*rows: Any) -> Path:
        path = tmp_path / "manifest.csv"
        given = rows[0] if isinstance(rows[0], str | bytes) else as_csv(rows)
        path.write_bytes(given if isinstance(given, bytes) else given.encode())
        return path

    return make


@pytest.fixture
def run(app: Flask, write: Callable[..., Path]) -> Callable[..., Report]:
    """``run(row, row…, update=True)``: imports a manifest, written as `write` does."""
    return lambda *rows, **options: import_manifest(write(*rows), **options)


@pytest.fixture
def command(app: Flask) -> Callable[..., Result]:
    """``command("manifest.csv", "--update")``: `flask library import` with these words."""
    return lambda *words: app.test_cli_runner().invoke(args=["library", "import", *map(str, words)])
