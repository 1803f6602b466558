"""What a serving process does beside its requests: counts go their way, and writes of others end what is cached."""

import atexit
import logging
import os
import random
import threading
import time
from collections.abc import Callable

from flask import Flask, current_app
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError, TimeoutError

from library_server.catalog.counts import fold
from library_server.config import current_config
from library_server.metrics import metrics
from library_server.shared.gate import RedisAway
from library_server.usage.counting import tally
from library_server.usage.flushing import flush
from library_server.web.changes import look_for_changes

log = logging.getLogger(__name__)

PUSH_SECONDS = 0.25  # a count waits so long for others before Redis is asked
FOLD_SECONDS = 5  # what was written meanwhile is added up by every list
_TICK_SECONDS = 0.25


def start_once() -> None:
    """Starts the thread of this process, unless it runs. For ``before_request``: after a fork."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    if app.extensions.get("library_housekeeper") == os.getpid():
        return
    app.extensions["library_housekeeper"] = os.getpid()
    try:
        threading.Thread(target=_keep_house, args=(app,), name="library-housekeeping", daemon=True).start()
    except RuntimeError:  # there is no thread to be had; the next request tries again
        del app.extensions["library_housekeeper"]
        return
    atexit.register(_do, app, _push)  # what was counted last, when a worker stops


def _keep_house(app: Flask) -> None:
    with app.app_context():
        config = current_config()
    jobs: list[tuple[float, Callable[[], object]]] = [
        (PUSH_SECONDS, _push),
        (config.usage_flush_seconds, flush),
        (config.cache_poll_seconds, look_for_changes),
        (FOLD_SECONDS, fold),
    ]
    due = [time.monotonic() + seconds * random.random() for seconds, _ in jobs]  # noqa: S311 (no secret)
    while True:
        time.sleep(_TICK_SECONDS)
        for number, (seconds, job) in enumerate(jobs):
            if seconds and time.monotonic() >= due[number]:
                due[number] = time.monotonic() + seconds
                _do(app, job)


def _push() -> None:
    if tally().waiting():
        tally().push()
    metrics().usage_in_workers.set(tally().waiting())


def _do(app: Flask, job: Callable[[], object]) -> None:
    """One job, tried again the next time if it fails. What no outage explains is said, once until it works."""
    said: dict[str, str] = app.extensions.setdefault("library_house_failures", {})
    try:
        with app.app_context():
            job()
        said.pop(job.__name__, None)
    except (OperationalError, InterfaceError, TimeoutError, RedisAway) as error:
        log.debug("%s waits for a server (%s)", job.__name__, type(error).__name__)
    except SQLAlchemyError as error:  # its text repeats the statement with its values
        kind = type(getattr(error, "orig", error)).__name__
        if said.get(job.__name__) != kind:
            said[job.__name__] = kind
            log.error("%s failed in PostgreSQL: %s (flask library check-schema may tell more)", job.__name__, kind)
    except Exception:
        log.exception("%s failed", job.__name__)
