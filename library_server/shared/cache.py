"""A backend for Flask-Caching on the shared Redis.

Its own one pickles, so that whoever can write to Redis could run code here, and may flush the whole database.
"""

from typing import Any

from flask import Flask, g
from flask_caching.backends.base import BaseCache

from library_server.shared.gate import RedisAway
from library_server.shared.redis import Reply, redis


def expect(*keys: str) -> None:
    """These keys will be asked for: they are fetched with the request's next round trip."""
    expected: dict[str, Reply] = g.setdefault("library_expected", {})
    for key in keys:
        expected[key] = redis.batch().add("GET", key)


class SharedCache(BaseCache):
    """Bytes under the very keys that are given. It removes nothing but single keys, and an outage is a miss."""

    @classmethod
    def factory(cls, app: Flask, config: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> "SharedCache":
        """As Flask-Caching makes it; there is nothing to configure."""
        return cls()

    def get(self, key: str) -> bytes | None:
        """The bytes; None when there are none or Redis is away."""
        expected: dict[str, Reply] = g.get("library_expected", {})
        reply = expected.pop(key, None) or redis.batch().add("GET", key)
        try:
            value: bytes | None = reply.get()
        except RedisAway:
            return None
        return value

    def set(self, key: str, value: bytes, timeout: Any = None) -> bool:
        """Keeps `value` for `timeout` seconds; False when Redis is away."""
        return self._store(key, value, timeout)

    def add(self, key: str, value: bytes, timeout: Any = None) -> bool:
        """The same unless the key is there; True also when Redis is away, for then nobody else has it either."""
        return self._store(key, value, timeout, "NX", otherwise=True)

    def delete(self, key: str) -> bool:
        """Removes the key; False when it was not there."""
        try:
            return bool(redis.batch().add("DEL", key).get())
        except RedisAway:
            return False

    def clear(self) -> bool:
        """Refused: there is no telling our keys from others'."""
        return False

    def _store(self, key: str, value: bytes, timeout: Any, *how: str, otherwise: bool = False) -> bool:
        seconds = self.default_timeout if timeout is None else timeout
        try:
            return redis.batch().add("SET", key, value, "EX", seconds, *how).get() is not None
        except RedisAway:
            return otherwise
