"""How gunicorn serves us: each value that is not the default, with its reason."""

import gc
import logging
from typing import Any

from library_server.config import Config, ConfigError
from library_server.operations import watching
from library_server.operations.serving import Worker, core_beside, sized_workers

try:
    settings = Config.load()
except ConfigError as error:
    raise SystemExit(f"library-server: {error}") from None

wsgi_app = "wsgi:app"
bind = f"{settings.host}:{settings.port}"

# Requests wait for PostgreSQL, Redis and the disk, so each process serves several at once: `Worker` is gunicorn's
# gthread, and stops without dropping a request.
worker_class = Worker
workers = settings.workers or sized_workers()
# More threads would only wait for each other (Python runs one at a time), and for the pool's connections to PostgreSQL.
threads = settings.threads

# The code is read once and shared by the workers; nothing connects before they fork. So HUP replaces the workers, but
# not the code: that takes USR2 (docs/migration.md).
preload_app = True

# A worker that leaked is replaced before it hurts, and not all of them at once.
max_requests = settings.max_requests
max_requests_jitter = settings.max_requests_jitter
graceful_timeout = settings.graceful_timeout

# nginx keeps connections to us open, and must be the one that closes them, or it sends a request into a closed one.
keepalive = 75

# A worker's heartbeat file on a disk can block; memory does not.
worker_tmp_dir = "/dev/shm"  # noqa: S108 (gunicorn makes the file's name)

# Nobody steers a running server through a socket in somebody's home folder.
control_socket_disable = True

# Lines of its log are like ours. An access log it has none: our own names the route, not the path, and nobody.
loglevel = settings.log_level.lower()
logging.logThreads = logging.logMultiprocessing = False  # which no line tells, and each would look up
if settings.app_env == "production":
    logger_class = watching.JsonLogger

# Workers count together, in memory.
if settings.enable_metrics:
    watching.share_metrics()
    post_fork, child_exit, on_exit = watching.post_fork, watching.child_exit, watching.on_exit


def pre_fork(server: Any, worker: Any) -> None:
    """Gives the worker its core, and its number."""
    if settings.cpu_affinity:
        worker.core = core_beside(other.core for other in server.WORKERS.values())
    if settings.enable_metrics:
        watching.pre_fork(server, worker)


def when_ready(_: object) -> None:
    """Before the first worker is forked: garbage collection need no longer look at what was loaded.

    A worker then ends in a tenth of a second instead of most of one, and a restart is quicker.
    """
    gc.freeze()
