"""Connections to Redis for which nobody waits beyond their timeout, however long its name takes to be resolved."""

import os
import threading
from concurrent.futures import Future
from typing import Any, ClassVar

from redis.connection import Connection, SSLConnection
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.sentinel import SentinelManagedConnection


class _Bounded:
    """What redis-py does to connect, in a thread: its own timeout is for each address of the name, not for the name."""

    host: Any
    port: Any
    socket_connect_timeout: Any
    _begun: ClassVar[dict[tuple[Any, ...], Future[Any]]] = {}

    def _connect(self) -> Any:
        """The socket. What has taken too long is there for who tries next."""
        key = (os.getpid(), type(self), self.host, self.port)
        begun = self._begun.pop(key, None) or self._begin()
        try:
            return begun.result(self.socket_connect_timeout)
        except TimeoutError:
            if not begun.done():
                self._begun[key] = begun
            raise RedisTimeoutError("Timeout connecting to server") from None

    def _begin(self) -> Future[Any]:
        begun: Future[Any] = Future()
        connect = super()._connect  # type: ignore[misc]

        def run() -> None:
            try:
                begun.set_result(connect())
            except BaseException as error:  # for whoever waits
                begun.set_exception(error)

        try:
            threading.Thread(target=run, name="library-redis-connect", daemon=True).start()
        except RuntimeError:  # there is no thread to be had
            run()
        return begun


class BoundedConnection(_Bounded, Connection):
    """By TCP."""


class BoundedSSLConnection(_Bounded, SSLConnection):
    """By TLS."""


class BoundedManagedConnection(_Bounded, SentinelManagedConnection):
    """To the master that Sentinel names."""
