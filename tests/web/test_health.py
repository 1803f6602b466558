"""Health tells an operator what is wrong in a word, and a stranger nothing; it costs little and never hangs."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from library_server.web import health
from library_server.web.probes import Probe
from tests.conftest import run_sql

pytestmark = pytest.mark.parametrize("shape", ["guide"])

PATHS = [f"{prefix}/health{end}" for prefix in ("", "/api/content") for end in ("", "/", "/ready")]
CHECKS = {"database", "redis", "content", "uploads", "assets", "migrations"}
Start = Callable[..., Flask]


@pytest.fixture
def start(make_app: Callable[..., Flask], database_url: str, redis: Any, tmp_path: Path) -> Start:
    """``start(DATABASE_URL=…)``: an application whose folders are there."""
    folders = {f"{name}_STORAGE_PATH": str(tmp_path / name) for name in ("CONTENT", "ASSETS", "UPLOADS")}
    for folder in folders.values():
        Path(folder).mkdir()

    def make(**settings: str) -> Flask:
        return make_app(settings.pop("DATABASE_URL", database_url), **folders | settings)

    return make


def ask(app: Flask, path: str = "/health") -> tuple[int, str, dict[str, str]]:
    """The status codes, the status, and each check's."""
    answer = app.test_client().get(path)
    body = answer.get_json()
    assert list(body) == ["status", "service", "checks"]
    assert body["service"] == "library-server"
    assert all(set(check) == {"status", "milliseconds"} for check in body["checks"].values())
    assert not re.search(r"[/\\]|\d{5,}|postgres|psycopg|error|sock", answer.get_data(as_text=True), re.IGNORECASE)
    return answer.status_code, body["status"], {name: check["status"] for name, check in body["checks"].items()}


def test_all_is_well(start: Start) -> None:
    app = start()
    for path in PATHS:
        assert ask(app, path) == (200, "healthy", dict.fromkeys(CHECKS, "ok"))


def test_to_live_needs_nobody(start: Start, tmp_path: Path) -> None:
    app = start(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing", REDIS_URL="redis://127.0.0.1:1")
    for path in ("/health/live", "/api/content/health/live/"):
        answer = app.test_client().get(path)
        assert (answer.status_code, answer.get_json()) == (200, {"status": "healthy", "service": "library-server"})
    assert [list((tmp_path / name).iterdir()) for name in ("CONTENT", "UPLOADS")] == [[], []]


@pytest.mark.parametrize(
    ("settings", "answer", "wrong"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:1"}, (200, "degraded"), {"redis": "away"}),
        ({"CONTENT_STORAGE_PATH": "/dev/null/x"}, (200, "degraded"), {"content": "unusable"}),
        ({"UPLOADS_STORAGE_PATH": "/proc/self/nothing"}, (200, "degraded"), {"uploads": "unusable"}),
        ({"ASSETS_STORAGE_PATH": "/nowhere/at/all"}, (200, "degraded"), {"assets": "unusable"}),
        (
            {"DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/nothing", "REDIS_URL": "redis://127.0.0.1:1"},
            (503, "unhealthy"),
            {"database": "away", "migrations": "away", "redis": "away"},
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_word(
    start: Start, settings: dict[str, str], answer: tuple[int, str], wrong: dict[str, str]
) -> None:
    assert ask(start(**settings)) == (*answer, dict.fromkeys(CHECKS, "ok") | wrong)


@pytest.mark.parametrize(
    ("revision", "status", "word"),
    [(None, "degraded", "behind"), ("0001", "degraded", "behind"), ("9999_of_a_newer_release", "healthy", "ahead")],
)
def test_migrations_that_were_not_run_are_told(
    start: Start, create_database: Callable[[str], str], revision: str | None, status: str, word: str
) -> None:
    url = create_database("empty")
    if revision:
        run_sql(url, f"CREATE TABLE library_alembic_version AS SELECT '{revision}'::text AS version_num")
    assert ask(start(DATABASE_URL=url)) == (200, status, dict.fromkeys(CHECKS, "ok") | {"migrations": word})


def test_the_scripts_are_read_once_and_done_without_where_there_are_none(start: Start, tmp_path: Path) -> None:
    app = start()
    ask(app)
    before = health._revisions.cache_info().misses
    ask(start())
    assert health._revisions.cache_info().misses == before
    health.bind(app, tmp_path)
    assert set(ask(app)[2]) == CHECKS - {"migrations"}


def test_many_callers_cause_no_more_than_one(start: Start, tmp_path: Path) -> None:
    app = start()
    ask(app)
    folders = [tmp_path / name for name in ("CONTENT", "UPLOADS")]
    touched = [folder.stat().st_mtime_ns for folder in folders]
    started = time.perf_counter()
    callers = [threading.Thread(target=ask, args=(app,)) for _ in range(50)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert time.perf_counter() - started < 5
    assert [folder.stat().st_mtime_ns for folder in folders] == touched
    assert [list(folder.iterdir()) for folder in folders] == [[], []]


def test_a_folder_that_heals_is_found_out(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "CONTENT" / "in the way"
    file.touch()
    app = start(CONTENT_STORAGE_PATH=str(file))
    assert ask(app)[2]["content"] == "unusable"
    file.unlink()
    probe = app.extensions["library_probes"]["content"]
    assert ask(app)[2]["content"] == "unusable"
    probe._forget_at = 0.0  # some seconds later
    assert ask(app)[2]["content"] == "ok"


def test_a_server_that_hangs_does_not_hang_us(start: Start) -> None:
    """Here it takes the connection, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        app = start(DATABASE_URL=f"postgresql://nobody@127.0.0.1:{port}/nothing")
        started = time.perf_counter()
        code, status, checks = ask(app)
        assert (code, status, checks["database"]) == (503, "unhealthy", "slow")
        assert time.perf_counter() - started < health.LONGEST_SECONDS + 1
        again = time.perf_counter()
        assert ask(app)[0] == 503
        assert time.perf_counter() - again < 0.5


def test_one_that_hangs_is_asked_by_one_thread_however_many_want_to_know(app: Flask) -> None:
    goes_on, runs = threading.Event(), []

    def hang() -> str:
        runs.append(1)
        goes_on.wait(10)
        return "ok"

    probe = Probe(hang, remember=60)
    for _ in range(5):
        probe.start(app)
        assert probe.found(0.1).status == "slow"
    goes_on.set()
    assert (probe.found(5).status, len(runs)) == ("ok", 1)


def test_where_there_is_no_thread_to_be_had_it_fails_and_is_tried_again(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    probe = Probe(lambda: "ok", remember=0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        probe.start(app)
        assert probe.found(5).status == "failed"
    probe.start(app)
    assert probe.found(5).status == "ok"


def test_the_answer_may_not_be_kept(start: Start) -> None:
    answer = start().test_client().get("/health")
    assert answer.headers["Cache-Control"] == "no-store"
    assert json.loads(answer.data)["status"] == "healthy"
