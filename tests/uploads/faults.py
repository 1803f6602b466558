"""What goes wrong on purpose: a database that refuses or blocks, and how to wait for it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import make_url

from tests.conftest import run_sql


@contextmanager
def refusing(database_url: str, condition: str) -> Iterator[None]:
    """The catalogue takes only rows that meet `condition`."""
    run_sql(database_url, f"ALTER TABLE content_library ADD CONSTRAINT of_a_test CHECK ({condition})")
    try:
        yield
    finally:
        run_sql(database_url, "ALTER TABLE content_library DROP CONSTRAINT of_a_test")


@contextmanager
def read_only(database_url: str, table: str = "content_library") -> Iterator[None]:
    """Everybody can read the table, nobody can write to it."""
    with _locked(database_url, table, "EXCLUSIVE"):
        yield


@contextmanager
def unreadable(database_url: str, table: str) -> Iterator[None]:
    """Who reads the table waits."""
    with _locked(database_url, table, "ACCESS EXCLUSIVE"):
        yield


@contextmanager
def closed_to_all(administrators_url: str, database_url: str) -> Iterator[None]:
    """The library loses its connections to the database, and gets no others."""
    name = make_url(database_url).database
    run_sql(administrators_url, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    try:
        run_sql(
            administrators_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = %s AND application_name = 'library-server'",
            (name,),
        )
        yield
    finally:
        run_sql(administrators_url, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def blocked(database_url: str, table: str = "content_library") -> int | None:
    """The backend that waits for the table."""
    rows = run_sql(
        database_url,
        "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database "
        "WHERE datname = current_database() AND relation = %s::regclass AND NOT granted",
        (table,),
    )
    return rows[0]["pid"] if rows else None


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """What `condition` returns once it is true."""
    deadline = time.monotonic() + seconds
    while not (met := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return met


@contextmanager
def _locked(database_url: str, table: str, mode: str) -> Iterator[None]:
    connection = psycopg2.connect(database_url)
    try:
        connection.cursor().execute(f"LOCK TABLE {table} IN {mode} MODE")
        yield
    finally:
        connection.close()
