"""The Redis that we share with the backend: one client an application, and what happens while Redis is away."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 0.08  # the contract allows 100 ms of waiting
PAUSE_SECONDS = 1.0  # between two tries while Redis is away

T = TypeVar("T")


class RedisAway(Exception):
    """Redis did not answer; the caller goes on as if it held nothing."""


class Gate:
    """One application's way to Redis. After a failure nobody waits: one caller a second tries again."""

    def __init__(self, url: str) -> None:
        self._client = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._lock = threading.Lock()
        self._away = False
        self._next_try = 0.0

    def ask(self, work: Callable[["Redis"], T]) -> T:
        """What `work` returns. Raises RedisAway when Redis fails it."""
        with self._lock:
            if self._away and time.monotonic() < self._next_try:
                raise RedisAway
            self._next_try = time.monotonic() + PAUSE_SECONDS
        try:
            answer = work(self._client)
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            self._note(away=True, reason=type(error).__name__)
            raise RedisAway from None
        except RedisError as error:
            log.warning("Redis refused a command: %s", type(error).__name__)
            raise RedisAway from None
        self._note(away=False)
        return answer

    def _note(self, away: bool, reason: str = "") -> None:
        with self._lock:
            changed, self._away = away != self._away, away
        if changed and away:
            log.warning("Redis is away (%s); going on without it", reason)
        elif changed:
            log.warning("Redis is back")


class SharedRedis:
    """The extension: `bind` at start, `ask` in an application context."""

    def bind(self, app: Flask, url: str) -> None:
        """Makes the client, without connecting."""
        app.extensions["library_redis"] = Gate(url)

    def ask(self, work: Callable[[Any], T]) -> T:
        """What `work(client)` returns. Raises RedisAway."""
        gate: Gate = current_app.extensions["library_redis"]
        return gate.ask(work)


redis = SharedRedis()
