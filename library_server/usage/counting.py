"""Counting views and downloads: in the process, then in Redis; `flushing` takes them to PostgreSQL.

A request only adds to a tally in memory. `push` sends the tally to Redis; each of its batches carries a number, so that
one which Redis took although its answer was lost is not taken again.
"""

import os
import threading
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from flask import Flask, current_app

from library_server.catalog.services import item_viewed
from library_server.files.services import item_downloaded
from library_server.shared.gate import RedisAway
from library_server.shared.redis import Script, redis

Event = Literal["view", "download"]

COUNTS = "library:usage:counts"  # a hash: "<event> <item> <hour>" to a number
MOST_FIELDS = 20_000  # in Redis, and as many in a process; more different ones are not counted
PUSHED_SECONDS = 86_400
_FIELDS_A_PUSH = 500
_HOUR = "%Y-%m-%dT%H"

# KEYS: counts, the number of this process' last batch. ARGV: the batch's number, seconds, most fields, field, number…
_PUSH = Script("""
if tonumber(redis.call('GET', KEYS[2]) or 0) >= tonumber(ARGV[1]) then return 0 end
if redis.call('HLEN', KEYS[1]) + (#ARGV - 3) / 2 > tonumber(ARGV[3]) then return -1 end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
for i = 4, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
""")


class Tally:
    """One process' counts that Redis has not acknowledged yet."""

    def __init__(self) -> None:
        self._lock, self._pushing = threading.Lock(), threading.Lock()
        self._counts: Counter[str] = Counter()
        self._batch: dict[str, int] = {}  # on its way; sent again with its number until Redis has answered
        self._number = 0
        self._process = ""  # its name, and the number that it was made for: workers fork from one that had none
        self._made_for = 0

    def add(self, event: Event, item_id: int) -> None:
        """Counts one, now."""
        field = name(event, item_id, int(time.time()) // 3600)
        with self._lock:
            if field in self._counts or len(self._counts) < MOST_FIELDS:
                self._counts[field] += 1

    def waiting(self) -> int:
        """How many different counts are here."""
        return len(self._counts) + len(self._batch)

    def push(self) -> bool:
        """Brings everything to Redis; False when some of it stays here for the next time."""
        with self._pushing:
            while self._next_batch():
                arguments = [word for pair in self._batch.items() for word in pair]
                keys = [COUNTS, f"library:usage:pushed:{self._name()}"]
                try:
                    taken = _PUSH.call(redis.batch(), keys, [self._number, PUSHED_SECONDS, MOST_FIELDS, *arguments])
                except RedisAway:
                    return False
                if taken < 0:
                    return False
                self._batch = {}
            return True

    def _name(self) -> str:
        if self._made_for != os.getpid():
            self._process, self._made_for = uuid.uuid4().hex, os.getpid()
        return self._process

    def _next_batch(self) -> bool:
        if not self._batch:
            with self._lock:
                self._batch = dict(list(self._counts.items())[:_FIELDS_A_PUSH])
                for field in self._batch:
                    del self._counts[field]
                self._number += 1
        return bool(self._batch)


def bind(app: Flask) -> None:
    """Counts from now on, in whichever application something is used."""
    app.extensions["library_tally"] = Tally()
    item_viewed.connect(_count_view)
    item_downloaded.connect(_count_download)


def tally(app: Flask | None = None) -> Tally:
    """The application's, of this process."""
    kept: Tally = (app or current_app).extensions["library_tally"]
    return kept


def name(event: Event, item_id: int, hours: int) -> str:
    """How a count of the hour that began so many `hours` after 1970 is called in Redis."""
    return f"{event} {item_id} {_hour_of(hours)}"


@lru_cache(2)
def _hour_of(hours: int) -> str:
    return datetime.fromtimestamp(hours * 3600, UTC).strftime(_HOUR)


def parse(field: str) -> tuple[str, int, datetime] | None:
    """Event, item and hour of a count; None for what is none of ours."""
    try:
        event, item_id, hour = field.split(" ")
        return (event, int(item_id), datetime.strptime(hour, _HOUR)) if event in ("view", "download") else None
    except ValueError:
        return None


def _count_view(app: Flask, item_id: int) -> None:
    tally(app).add("view", item_id)


def _count_download(app: Flask, item_id: int) -> None:
    tally(app).add("download", item_id)
