"""`flask library link-key`: the key by which nginx checks signed links, and nothing else."""

import hashlib
import hmac
import re
import time
from collections.abc import Callable

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import SECRET
from tests.uploads.conftest import Folders

pytestmark = pytest.mark.usefixtures("redis")


@pytest.fixture
def shape() -> str:
    """One starting database: nothing here comes to it."""
    return "backend"


def test_it_is_the_only_thing_printed(key: str, app: Flask) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", key)
    assert printed(app) == f"{key}\n"


def test_it_is_always_the_same(key: str, serve: Callable[..., FlaskClient]) -> None:
    assert printed(serve().application).strip() == key


def test_another_secret_gives_another_key(key: str, serve: Callable[..., FlaskClient]) -> None:
    assert printed(serve(SECRET_KEY="another secret of at least 32 bytes").application).strip() != key


def test_it_does_not_give_the_secret_away(key: str) -> None:
    assert key not in (SECRET, SECRET.encode().hex(), hashlib.sha256(SECRET.encode()).hexdigest())
    assert SECRET not in key


def test_a_link_signed_with_it_opens(key: str, client: FlaskClient, folders: Folders) -> None:
    folders.put("documents/x.txt")
    expires = str(int(time.time()) + 60)
    signed = hmac.new(key.encode(), f"all\n{expires}\ndocuments/x.txt".encode(), "sha256").hexdigest()
    with client.get(f"/content/documents/x.txt?expires={expires}&signature={signed}") as answer:
        assert (answer.status_code, answer.data) == (200, b"words")


@pytest.fixture
def key(app: Flask) -> str:
    """What the command prints."""
    return printed(app).strip()


def printed(app: Flask) -> str:
    result: Result = app.test_cli_runner().invoke(args=["library", "link-key"])
    assert result.exit_code == 0
    return result.output
