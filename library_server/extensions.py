"""The Flask extensions, made unbound here and bound to an application by `create_app` or `init_app`."""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg2
from flask import Config as FlaskConfig
from flask import Flask
from flask_caching import Cache
from flask_limiter import Limiter
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from psycopg2.extensions import PYDATETIME, new_type, register_type
from sqlalchemy import MetaData, event
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.orm import DeclarativeBase

from library_server.lib import json

CONNECT_TIMEOUT_SECONDS = 3
POOL_WAIT_SECONDS = 5
POOL_RECYCLE_SECONDS = 30 * 60
# A host that vanished answers nothing, not even that it is away: without these Linux goes on trying for a quarter of an
# hour, and waits two hours for an answer.
GIVE_UP = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 20_000}


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


@contextmanager
def wearing(app: Flask, settings: dict[str, Any]) -> Iterator[None]:
    """While open, `app` has these settings alone: an extension of ours sees nothing of a host's, and leaves nothing."""
    theirs = app.config
    app.config = FlaskConfig(app.root_path, settings)
    try:
        yield
    finally:
        app.config = theirs


REPLICA = "replica"


class LibrarySession(Session):
    """Asks the replica while its `info` has REPLICA."""

    def get_bind(self, *args: Any, **kwargs: Any) -> Any:
        return db.engines[REPLICA] if self.info.get(REPLICA) else super().get_bind(*args, **kwargs)


def _time(text: Any, cursor: Any) -> Any:
    """A stored time, or None for one that Python has no year for: one odd row must not take its list away."""
    try:
        return PYDATETIME(text, cursor)
    except ValueError:
        return None


_STORED_TIME = new_type((1114,), "STORED_TIME", _time)  # PostgreSQL's number of timestamp without time zone


def _check(dialect: Dialect, connection: Any, *_: object) -> None:
    """A restarted database costs no request its connection, nor, while it runs, a question first (``pool_pre_ping``).

    A server that goes closes its connections, so there is something to be read; the same in the rarer case that a
    notice has come, where it is asked.
    """
    told = select.poll()
    told.register(connection.fileno(), select.POLLIN)
    if told.poll(0):
        try:
            dialect.do_ping(connection)
        except psycopg2.Error:
            raise InvalidatePoolError from None


class LibraryDatabase(SQLAlchemy):
    """Flask-SQLAlchemy that can live in an application which has a `SQLAlchemy` of its own.

    Flask-SQLAlchemy allows one instance an application and reads its settings from ``app.config``. The backend
    has both for itself, so ours is bound while the application wears a config of ours.
    """

    def bind(self, app: Flask, url: str, read_url: str, pool_size: int, max_overflow: int) -> None:
        """Makes the engine, and one for the replica at `read_url` if there is any, without connecting.

        Workers fork after this.
        """
        theirs = app.extensions.pop("sqlalchemy", None)
        engine_options: dict[str, Any] = {
            "pool_size": pool_size,
            "max_overflow": max_overflow,
            "pool_timeout": POOL_WAIT_SECONDS,
            "pool_recycle": POOL_RECYCLE_SECONDS,
            "json_serializer": lambda value: json.encode(value).decode(),
            "json_deserializer": json.decode_stored,
            "hide_parameters": True,  # an error in the log tells no e-mail
            "connect_args": {
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": "library-server",
                **GIVE_UP,
            },
        }
        settings = {
            "SQLALCHEMY_DATABASE_URI": url,
            "SQLALCHEMY_ENGINE_OPTIONS": engine_options,
            "SQLALCHEMY_BINDS": {REPLICA: engine_options | {"url": read_url}} if read_url else {},
        }
        try:
            with wearing(app, settings):
                self.init_app(app)
            with app.app_context():
                for engine in self.engines.values():
                    event.listen(engine, "connect", lambda connection, _: register_type(_STORED_TIME, connection))
                    event.listen(engine, "checkout", partial(_check, engine.dialect))
        finally:
            app.extensions.pop("sqlalchemy", None)
            if theirs is not None:
                app.extensions["sqlalchemy"] = theirs


# What a request wrote is what it answers with, whatever others commit meanwhile.
db = LibraryDatabase(
    model_class=Base, add_models_to_shell=False, session_options={"expire_on_commit": False, "class_": LibrarySession}
)
migrate = Migrate()
cache = Cache(with_jinja2_ext=False)
# Checked by our guards, which know who is asking, and never before a host's views.
limiter = Limiter(key_func=lambda: "", strategy="sliding-window-counter", storage_uri="library://")


def end_session(error: BaseException | None = None) -> None:
    """Gives the connection back. That PostgreSQL went away after the answer was made is no error of the answer."""
    try:
        db.session.remove()
    except DBAPIError:
        db.session.registry.clear()


def bind_cache(app: Flask) -> None:
    """Flask-Caching with our backend (`shared.cache`)."""
    with wearing(app, {"CACHE_TYPE": "library_server.shared.cache.SharedCache"}):
        cache.init_app(app)


def bind_limiter(app: Flask) -> None:
    """Flask-Limiter with our storage (`shared.limits`, which has the scheme ``library``).

    To an application that has it already it adds no hooks: they look for limits at each request, a host's too, where
    ours are asked by the decorators of our views.
    """
    app.extensions.setdefault("limiter", set()).add(limiter)
    with wearing(app, {}):
        limiter.init_app(app)
