"""Where Flask-Limiter keeps its counters: in the shared Redis under the contract's keys, else in the process."""

import math
import time

from flask import current_app, g
from limits.storage import MemoryStorage, Storage
from limits.storage.base import SlidingWindowCounterSupport

from library_server.shared.gate import RedisAway
from library_server.shared.redis import Script, redis

# A sliding window counter: the window before counts for as much of it as the sliding window still covers. The clock is
# Redis', one for all. Returns: allowed, count of the window before, of this one, and milliseconds left of this one.
HIT = """
local function hit(key, limit, seconds, cost)
  local time, window = redis.call('TIME'), seconds * 1000
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local number = math.floor(now / window)
  local left = (number + 1) * window - now
  local kept = redis.call('HMGET', key, 'window', 'before', 'count')
  local last, before, count = tonumber(kept[1]), tonumber(kept[2]) or 0, tonumber(kept[3]) or 0
  if last == number - 1 then
    before, count = count, 0
  elseif last ~= number then
    before, count = 0, 0
  end
  if before * left / window + count + cost > limit then
    return {0, before, count, left}
  end
  if last == number then
    redis.call('HINCRBY', key, 'count', cost)
  else
    redis.call('HSET', key, 'window', number, 'before', before, 'count', cost)
    redis.call('PEXPIRE', key, left + window)
  end
  return {1, before, count + cost, left}
end
"""
# Whether a token is revoked. KEYS and ARGV from `at` and `given` on: the revoked token, revoked jtis; perhaps a jti.
REVOKED = """
local function revoked(at, given)
  return KEYS[at] and (redis.call('EXISTS', KEYS[at]) == 1
    or ARGV[given] and redis.call('SISMEMBER', KEYS[at + 1], ARGV[given]) == 1)
end
"""
_HIT = Script(f"""{HIT}{REVOKED}
if revoked(2, 4) then return {{1, 0, 0, 0}} end
return hit(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))
""")


class SharedStorage(Storage, SlidingWindowCounterSupport):
    """A storage of the `limits` library that counts and tells in one round trip.

    Keys are ``rate_limit:<user_id>:<endpoint or name of a shared limit>:<the limit>``.
    """

    STORAGE_SCHEME = ["library"]  # noqa: RUF012 (the library's own declaration)

    @property
    def base_exceptions(self) -> type[Exception]:
        """What this storage may raise."""
        return RedisAway

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Whether `amount` more are allowed within `expiry` seconds; they are then counted.

        Not for who comes with a revoked token (`g.library_revocation`): that will be refused, and its user goes free.
        """
        keys, jti = g.get("library_revocation", ([], []))
        try:
            allowed, before, count, left = _HIT.call(redis.batch(), [named(key), *keys], [limit, expiry, amount, *jti])
        except RedisAway:
            return _in_process().acquire_sliding_window_entry(key, limit, expiry, amount)
        g.library_windows = g.get("library_windows", {}) | {key: (before, left / 1000, count, left / 1000)}
        return bool(allowed)

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The counts of the window before and of this one, each with the seconds for which it still counts."""
        told: dict[str, tuple[int, float, int, float]] = g.get("library_windows", {})
        return told[key] if key in told else _in_process().get_sliding_window(key, expiry)

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Lets the counting begin anew."""
        redis.batch().add("DEL", named(key))
        _in_process().clear_sliding_window(key, expiry)

    def check(self) -> bool:
        """It always works: in Redis or in the process."""
        return True

    # What follows is for fixed windows, which no limit of ours has: they are counted in the process.

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """One window's count, raised by `amount`."""
        return _in_process().incr(key, expiry, amount)

    def get(self, key: str) -> int:
        """One window's count."""
        return _in_process().get(key)

    def get_expiry(self, key: str) -> float:
        """The second since 1970 at which the window ends."""
        return _in_process().get_expiry(key)

    def clear(self, key: str) -> None:
        """Forgets one window."""
        _in_process().clear(key)

    def reset(self) -> int | None:
        """Forgets every window that is counted in the process; returns how many."""
        return _in_process().reset()


def named(key: str) -> str:
    """The key in Redis, from the library's ``LIMITER/<user_id>/<endpoint>/<limit…>``."""
    _, user_id, endpoint, limit = key.split("/", 3)
    return f"rate_limit:{user_id}:{endpoint}:{limit}"


def left_of(amount: int, seconds: int, before: int, count: int, left: int) -> tuple[int, int]:
    """How many requests are left, and the second since 1970 at which there are more.

    What Flask-Limiter works out of a window (`HIT` gives the last three, milliseconds `left`), without its way there.
    """
    window = seconds * 1000
    resets = [left % (window / before)] if before else []
    resets += [left % window] if count else []
    remaining = max(0, amount - math.floor(before * left / window + count))
    return remaining, int(time.time() + min(resets, default=0) / 1000 + 1)


def _in_process() -> MemoryStorage:
    if "library_limits" not in current_app.extensions:
        current_app.extensions["library_limits"] = MemoryStorage()
    storage: MemoryStorage = current_app.extensions["library_limits"]
    return storage
