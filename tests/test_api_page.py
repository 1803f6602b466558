"""Every command of docs/api.md and docs/search.md runs against the sample library, and every route has one."""

import argparse
import io
import os
import re
import shlex
from pathlib import Path

import pytest

from library_server.catalog.importing import import_manifest
from library_server.curriculum.importing import TABLES
from library_server.dev.command import SAMPLE
from library_server.dev.families import add_families
from library_server.extensions import db
from tests.conftest import bearer
from tests.web.test_openapi import DESCRIPTION, described_path, operations

DOCS = Path(__file__).parent.parent / "docs"
HOST = "http://127.0.0.1:8001"
OF_ITSELF = "song.mp3", SAMPLE / "files/audio/itsy-bitsy-spider-spoken.mp3"
pytestmark = pytest.mark.parametrize("shape", ["guide"])


@pytest.fixture
def app(make_app, database_url, redis, tmp_path):
    """The sample library."""
    folders = {f"{name}_STORAGE_PATH": str(tmp_path / name) for name in ("CONTENT", "ASSETS", "UPLOADS")}
    made = make_app(database_url, **folders, CORS_ORIGINS="https://app.example.org")
    with made.app_context():
        import_manifest(SAMPLE / "manifest.csv", SAMPLE / "files")
        for name, table in TABLES.items():
            import_manifest(SAMPLE / f"{name}.csv", SAMPLE / "files", table=table)
        add_families()
        yield made
        db.engine.dispose()


def test_every_command_is_answered_as_it_says_and_every_route_has_one(app, monkeypatch):
    description = app.test_client().get(DESCRIPTION).get_json()
    monkeypatch.setenv("TOKEN", bearer(user_id=1, user_type="parent")["Authorization"].removeprefix("Bearer "))
    met = set()
    for command, status in (*commands("api.md"), *commands("search.md")):
        method, address, arguments = request_of(command)
        with app.test_client().open(address, method=method, **arguments) as response:
            assert (command, response.status_code) == (command, status)
        if template := described_path(description, address, method):
            met.add((method.lower(), same(template)))
    assert {(method, same(path)) for path, method, _ in operations(description)} == met


def same(path):
    """One path for all that are told together: the three lists of the curriculum, and aliases."""
    if path.startswith(("/download", "/upload", "/health", "/api/content/search")):
        path = {"/download/{item_id}": "/content/{item_id}/download", "/upload": "/api/content/upload"}.get(
            path, "/content/search" if "search" in path else f"/api/content{path}"
        )
    return re.sub("nursery-rhymes|multi-subject", "heggerty", path)


def commands(name):
    """The curl commands of a document, and the status that each is to be answered with."""
    for block in re.findall(r"^```sh\n(.*?)^```", (DOCS / name).read_text(), re.S | re.M):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("curl"):
                told = re.search(r" # (\d{3})", line)
                yield line.partition(" # ")[0], int(told[1]) if told else 200


def request_of(command):
    """Method, address and arguments of a curl command, as the test client takes them."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    for option in ("-X", "-d", "-r", "-o"):
        parser.add_argument(option)
    for option in ("-H", "-F"):
        parser.add_argument(option, action="append", default=[])
    parser.add_argument("-i", action="store_true")
    parser.add_argument("-OJ", action="store_true")
    parser.add_argument("url")
    given = parser.parse_args(shlex.split(os.path.expandvars(command))[1:])
    headers = [tuple(header.split(": ", 1)) for header in given.H]
    headers += [("Range", f"bytes={given.r}")] if given.r else []
    arguments = {"headers": headers, "data": given.d}
    if given.F:
        fields = dict(field.split("=", 1) for field in given.F)
        file, path = OF_ITSELF
        assert fields["file"] == f"@{file}"
        arguments |= {"data": fields | {"file": (io.BytesIO(path.read_bytes()), file)}}
        arguments |= {"content_type": "multipart/form-data"}
    assert given.url.startswith(HOST)
    return given.X or ("POST" if given.F or given.d else "GET"), given.url.removeprefix(HOST), arguments
