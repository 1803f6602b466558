"""Changes that nobody told us of: writes of others to the catalogue, and a Redis that is not the one it was."""

import re

from redis.exceptions import ResponseError
from sqlalchemy import text

from library_server.extensions import db
from library_server.shared.gate import GENERATION_SECONDS
from library_server.shared.redis import redis

RUN = "library:redis_run"  # which run of Redis the generation is of

# Who holds a note, and has gone, is not waited for: the next look comes soon.
_NEWS = text("SET LOCAL lock_timeout = '500ms'; DELETE FROM library_change")


def look_for_changes() -> None:
    """Ends every entry if somebody has written to the catalogue and Redis was not told yet, from whichever server.

    The notes of changes are taken away only when Redis was told; so a server that cannot tell it stops using it, and so
    does every other that looks. Raises SQLAlchemy's errors, and RedisAway.
    """
    _look_who_answers()
    with db.engine.connect() as connection:
        if connection.execute(_NEWS).rowcount:
            redis.gate.forget()
        if not redis.gate.forgets:
            connection.commit()
    redis.gate.unsure = redis.gate.away


def _look_who_answers() -> None:
    """Ends every entry if Redis was started anew, or another has come in its place, since it was last looked.

    What it then holds may be from before the latest changes, and so may its generation. Raises RedisAway.
    """
    batch = redis.batch()
    told, known = batch.add("INFO", "server"), batch.add("GET", RUN).get()
    if isinstance(told.answer, ResponseError):  # it may not say who it is
        return
    run = re.search(rb"run_id:(\w+)", told.get())
    if run is None or run[1] == known:
        return
    redis.gate.forget()
    if not redis.gate.forgets:
        batch.add("SET", RUN, run[1], "EX", GENERATION_SECONDS).get()
