"""Children's reads that may be a moment old go to a replica of the database, where DATABASE_READ_URL names one.

Parents may be editors, who must see what they have just written, so theirs do not; nor do single items.
"""

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, current_app, g
from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError

from library_server.actor import Kind
from library_server.extensions import REPLICA, db

AWAY_SECONDS = 5  # after a failure the replica is not asked
KEPT_SECONDS = 30  # an answer of the replica: it may lack the change that ended the one before

P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger(__name__)


def may_lag(read: Callable[P, R]) -> Callable[P, R]:
    """A decorator for a view that only reads: it asks the replica, and the primary where that fails."""

    @wraps(read)
    def ask(*args: P.args, **kwargs: P.kwargs) -> R:
        if not elsewhere():
            return read(*args, **kwargs)
        db.session.rollback()  # gives back the connection with which the caller was looked up
        db.session.info[REPLICA] = True
        try:
            return read(*args, **kwargs)
        except (OperationalError, InterfaceError, TimeoutError) as error:
            db.session.rollback()
            db.session.info[REPLICA] = False
            current_app.extensions["library_replica_away_until"] = time.monotonic() + AWAY_SECONDS
            log.warning("The replica of PostgreSQL failed a read (%s); the primary is asked", type(error).__name__)
            return read(*args, **kwargs)

    return ask


def elsewhere() -> bool:
    """Whether this request's reads go to the replica."""
    caller = g.get("library_caller")
    return caller is not None and reads_elsewhere(current_app, caller.kind)


def reads_elsewhere(app: Flask, kind: Kind) -> bool:
    """Whether the reads of a parent or a child go to the replica now."""
    return (
        kind == "child"
        and bool(app.extensions["library_config"].database_read_url)
        and time.monotonic() >= app.extensions.get("library_replica_away_until", 0)
    )


def lagged() -> bool:
    """Whether what was read came from the replica."""
    return bool(db.session.info.get(REPLICA))
