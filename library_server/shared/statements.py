"""What PostgreSQL is asked, measured by SQLAlchemy's events: how often, how long, over how many connections."""

import time
from typing import Any

from flask import Flask
from psycopg2 import InterfaceError, OperationalError
from psycopg2.errors import LockNotAvailable
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext

from library_server.extensions import db
from library_server.metrics import Metrics


def measure(app: Flask, metrics: Metrics, most_connections: int) -> None:
    """Counts from now on what `app` asks."""
    with app.app_context():
        engine, every = db.engine, db.engines.values()

    def begin(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        context.library_started = time.perf_counter()

    def end(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        metrics.statement_seconds.observe(time.perf_counter() - context.library_started)

    def fail(context: ExceptionContext) -> None:
        error = context.original_exception
        # who finds another at the same work leaves it to that one
        if isinstance(error, OperationalError | InterfaceError) and not isinstance(error, LockNotAvailable):
            metrics.database_failures.inc()

    def connect(*_: Any) -> None:
        metrics.connections_max.set(most_connections)

    def check_out(*_: Any) -> None:
        metrics.connections.set(engine.pool.checkedout())  # type: ignore[attr-defined]

    def check_in(*_: Any) -> None:  # it is about to be given back
        metrics.connections.set(engine.pool.checkedout() - 1)  # type: ignore[attr-defined]

    for each in every:
        event.listen(each, "before_cursor_execute", begin)
        event.listen(each, "after_cursor_execute", end)
        event.listen(each, "handle_error", fail)
    event.listen(engine, "connect", connect)
    event.listen(engine, "checkout", check_out)
    event.listen(engine, "checkin", check_in)
