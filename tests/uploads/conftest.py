"""An application with folders of its own for every test, and a short way to upload."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis as redis_py
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from library_server.extensions import db
from tests.uploads.folders import Folders
from tests.uploads.forms import HEADERS, upload_form

UPLOAD = "/api/content/upload"


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """The folders of `app`; nobody has made them yet."""
    return Folders.below(tmp_path)


@pytest.fixture
def app(database_url: str, redis: redis_py.Redis, make_app: Callable[..., Flask], folders: Folders) -> Iterator[Flask]:
    """The application with these folders."""
    with closing(make_app(database_url, **folders.settings)) as made:
        yield made


@pytest.fixture
def serve(
    database_url: str, redis: redis_py.Redis, make_app: Callable[..., Flask], folders: Folders
) -> Iterator[Callable[..., FlaskClient]]:
    """``serve(NAME=value…)``: a client of the application with other settings, and these folders."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            closing(make_app(database_url, **folders.settings | settings))
        ).test_client()


@pytest.fixture
def upload(client: FlaskClient, as_parent: dict[str, str]) -> Callable[..., TestResponse]:
    """``upload(data, "name.txt", title="…")``: the answer to a parent who sends this file with these fields."""

    def send(data: bytes, filename: str, path: str = UPLOAD, **fields: str) -> TestResponse:
        return client.post(path, data=upload_form(data, filename, fields), headers=as_parent | HEADERS)

    return send


@contextmanager
def closing(app: Flask) -> Iterator[Flask]:
    """Closes the application's connections at the end."""
    yield app
    with app.app_context():
        db.engine.dispose()
