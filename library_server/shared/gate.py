"""The way to Redis: one client an application, and what happens while Redis is away."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from hiredis import pack_command
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import ClusterCrossSlotError, ClusterDownError, MovedError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

from library_server.metrics import Metrics
from library_server.shared.connecting import BoundedConnection, BoundedManagedConnection, BoundedSSLConnection

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 0.06  # the contract allows 100 ms of waiting
SENTINEL_TIMEOUT_SECONDS = 0.02  # they are asked one after another, and only for a new connection
FRESH_SECONDS = 0.2  # a connection that has been idle for longer may have been closed
FIRST_PAUSE_SECONDS, PAUSE_SECONDS = 0.1, 1.0  # between two tries while Redis is away: doubled from the first on
GENERATION = "library:generation"  # what was cached under another one does not count
GENERATION_SECONDS = 7 * 86_400
SENTINEL = "redis+sentinel://"
_KINDS = {"redis": BoundedConnection, "rediss": BoundedSSLConnection}  # a Unix socket has no name to be resolved

T = TypeVar("T")


class RedisAway(Exception):
    """Redis did not answer, or refused; the caller goes on as if it held nothing."""


class Gate:
    """One application's way to Redis. After a failure nobody waits: one caller at a time tries again.

    What is cached is kept together by a generation, which ends with every change.
    """

    def __init__(self, url: str, metrics: Metrics) -> None:
        self._metrics = metrics
        self._client = _client(url)
        self._lock = threading.Lock()
        self._idle: deque[tuple[Any, float]] = deque()
        self._process = os.getpid()
        self._away = False
        self._refusing = self._is_cluster = False
        self._next_try, self._pause = 0.0, FIRST_PAUSE_SECONDS
        self._wanted = self._renewed = 0  # generations: how many were wanted, and which want was the last fulfilled
        self._next_renewal = 0.0
        self.unsure = False  # Redis was away: others may have changed what it holds, and could not tell it

    @property
    def away(self) -> bool:
        """Whether the last try failed."""
        return self._away

    @property
    def forgets(self) -> bool:
        """Whether what is cached may be out of date, because Redis could not be told of a change."""
        return self._wanted > self._renewed

    def ask(self, work: Callable[["Redis"], T]) -> T:
        """What `work` returns. Raises RedisAway when Redis fails it."""
        with self._lock:
            if self._away:
                if time.monotonic() < self._next_try:
                    raise RedisAway
                self._pause = min(2 * self._pause, PAUSE_SECONDS)
                self._next_try = time.monotonic() + self._pause  # nobody else tries meanwhile
        try:
            if self.forgets:
                self._renew()
            answer = work(self._client)
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            self._note(away=True, reason=type(error).__name__)
            raise RedisAway from None
        except RedisError as error:
            self._note_refusal(error)
            raise RedisAway from None
        self._note(away=False)
        return answer

    def run(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """The answers to `commands`, in one round trip; an exception in the place of what Redis refused.

        Raises RedisAway.
        """
        packed = [b"".join(map(pack_command, commands))]
        answers = self.ask(lambda client: self._exchange(client, packed, len(commands)))
        refusals = [answer for answer in answers if isinstance(answer, RedisError)]
        for refusal in refusals:
            self._note_refusal(refusal)
        done = zip(commands, answers, strict=True)
        if self._refusing and not refusals and any(command[0] in _WRITES and answer for command, answer in done):
            self._refusing = False
            log.warning("Redis takes writes again")
        return answers

    def forget(self) -> None:
        """Makes a new generation: what is cached counts no more. While Redis cannot be told, `forgets` is set."""
        with self._lock:
            self._wanted += 1
            self._next_renewal = 0.0
        try:
            self.ask(lambda client: None)
        except RedisAway:
            return

    def _exchange(self, client: "Redis", packed: list[bytes], count: int) -> list[Any]:
        pool = client.connection_pool
        connection = self._connection(pool)
        try:
            connection.send_packed_command(packed, check_health=False)
            answers = [_answer(connection) for _ in range(count)]
        except BaseException:
            connection.disconnect()
            pool.release(connection)
            raise
        self._idle.append((connection, time.monotonic()))
        return answers

    def _connection(self, pool: Any) -> Any:
        """One that is idle, else the pool's; to borrow from the pool each time costs as much as to ask Redis.

        Like the pool it sees that a connection is not as it was left: Redis went away and came back, Sentinel named
        another master, this process is a fork. What was used just now is not looked at.
        """
        if self._process != os.getpid():
            self._process = os.getpid()
            self._idle.clear()
        try:
            connection, since = self._idle.pop()
        except IndexError:
            return pool.get_connection()
        with suppress(RedisConnectionError):
            fresh = time.monotonic() - since < FRESH_SECONDS
            if pool.owns_connection(connection) and (fresh or not connection.can_read()):
                return connection
        connection.disconnect()
        pool.release(connection)
        return pool.get_connection()

    def _renew(self) -> None:
        wanted = self._wanted
        if time.monotonic() < self._next_renewal:
            return
        self._next_renewal = time.monotonic() + PAUSE_SECONDS
        if _renew(self._client):
            self._renewed = max(self._renewed, wanted)

    def _note(self, away: bool, reason: str = "") -> None:
        with self._lock:
            changed, self._away = away != self._away, away
            if changed and away:
                self._pause = FIRST_PAUSE_SECONDS
                self._next_try = time.monotonic() + self._pause
            self.unsure = self.unsure or away
        if changed:
            self._metrics.redis_away.set(float(away))
        if changed and away:
            self._metrics.redis_outages.inc()
            log.warning("Redis is away (%s); going on without it", reason)
        elif changed:
            log.warning("Redis is back")

    def _note_refusal(self, error: RedisError) -> None:
        if not self._is_cluster and isinstance(error, (ClusterCrossSlotError, ClusterDownError, MovedError)):
            self._is_cluster = True
            log.error("REDIS_URL names a Redis Cluster, which cannot be used (docs/scaling.md); going on without it")
        # A key that others have filled with something else is no outage.
        if not self._refusing and any(word in str(error) for word in ("OOM", "READONLY", "MISCONF", "NOPERM")):
            self._refusing = True
            log.warning("Redis refuses writes (%s); going on without them", type(error).__name__)


def _client(url: str) -> "Redis":
    """A client that has not connected. `url` as Config checks it."""
    options: dict[str, Any] = {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "protocol": 2,  # nothing is negotiated: a connection costs no round trip more
        "driver_info": None,
    }
    if not url.startswith(SENTINEL):
        if kind := _KINDS.get(url.partition(":")[0]):
            options["connection_class"] = kind
        return Redis.from_url(url, **options)
    # redis+sentinel://user:password@host:26379,host:26379/master/0, of which user and password are Redis's
    parts = urlsplit(url)
    hosts = [host.rpartition(":") for host in parts.netloc.rpartition("@")[2].split(",")]
    service, _, number = parts.path.strip("/").partition("/")
    patience = {"socket_timeout": SENTINEL_TIMEOUT_SECONDS, "socket_connect_timeout": SENTINEL_TIMEOUT_SECONDS}
    sentinel = Sentinel([(host, int(port)) for host, _, port in hosts], sentinel_kwargs=options | patience)
    for each in sentinel.sentinels:
        each.connection_pool.connection_class = BoundedConnection
    credentials = {name: unquote(value) for name in ("username", "password") if (value := getattr(parts, name))}
    master: Redis = sentinel.master_for(
        service, db=int(number or 0), connection_class=BoundedManagedConnection, **credentials, **options
    )
    return master


_WRITES = ("SET", "HINCRBY", "EVALSHA", "EVAL", "DEL")


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as refusal:
        return refusal


def _renew(client: "Redis") -> bool:
    """Whether the generation was made anew: a full Redis may refuse to, but it lets us take the old one away."""
    try:
        client.set(GENERATION, time.time_ns(), ex=GENERATION_SECONDS)
    except ResponseError:
        try:
            client.delete(GENERATION)
        except ResponseError:
            return False
    return True
