"""What gunicorn needs of us: log lines in our form, and metrics that its workers share.

Workers come and go. Each gets the lowest number that is free, and goes on counting in the files of the one that had
it before; so there are as many files as workers, where files by process id would pile up with every worker that
MAX_REQUESTS replaces.
"""

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger
from prometheus_client.multiprocess import mark_process_dead

from library_server import metrics
from library_server.web.logs import JsonLines

MEMORY = "/dev/shm"  # noqa: S108 (tempfile makes the name)
PREFIX = "library-metrics-"
YOUNG_SECONDS = 60  # a folder that was made just now may be locked any moment

_kept: dict[str, str] = {"name": "main"}
_taken: set[int] = set()


class JsonLogger(Logger):
    """gunicorn's error log as JSON lines; it has no access log (`web.watch` says more, and names nobody)."""

    def setup(self, cfg: Any) -> None:
        """As gunicorn's, also when it is told to read its configuration again."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonLines())


def share_metrics() -> None:
    """Makes a fresh directory for them, in memory where that can be, else in TMPDIR; once a server."""
    if "directory" not in _kept:
        memory = MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else tempfile.gettempdir()
        _remove_left_over(Path(memory))
        _kept["directory"] = tempfile.mkdtemp(prefix=PREFIX, dir=memory)
        _lock(Path(_kept["directory"]))
        metrics.share(_kept["directory"], lambda: _kept["name"])


def _remove_left_over(memory: Path) -> None:
    """What servers left there that were killed: nobody holds its lock."""
    for directory in memory.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is another user's, or in use
            if time.time() - directory.stat().st_mtime > YOUNG_SECONDS:
                lock = _lock(directory)
                shutil.rmtree(directory, ignore_errors=True)
                os.close(lock)


def _lock(directory: Path) -> int:
    """Holds it until this process and all that are forked from it have ended."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def pre_fork(server: Any, worker: Any) -> None:
    """Gives the worker its number."""
    worker.library_number = next(number for number in range(len(_taken) + 1) if number not in _taken)
    _taken.add(worker.library_number)


def post_fork(server: Any, worker: Any) -> None:
    """In the worker: it counts under its number."""
    _kept["name"] = str(worker.library_number)


def child_exit(server: Any, worker: Any) -> None:
    """The number is free again; what only the living have, like connections, is forgotten."""
    mark_process_dead(worker.library_number, _kept["directory"])
    _taken.discard(worker.library_number)


def on_exit(server: Any) -> None:
    """Leaves nothing behind."""
    shutil.rmtree(_kept["directory"], ignore_errors=True)
