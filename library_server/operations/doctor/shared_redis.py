"""What Redis says: whether it answers, its clock and memory, and whether others write under our keys."""

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from redis.exceptions import ResponseError

from library_server.operations.doctor.findings import fail, fine, warn
from library_server.operations.doctor.signing_in import compare
from library_server.operations.schema_report import Finding
from library_server.shared.gate import RedisAway
from library_server.shared.redis import redis
from library_server.usage.counting import COUNTS
from library_server.usage.flushing import BATCH

FULL = 0.9  # of its memory
PREFIXES = {"content_cache:": b"string", "search_cache:": b"string", "rate_limit:": b"hash", "library:": None}
LIVE_ON = {COUNTS.encode(), BATCH.encode()}
TRIES, PAUSE_SECONDS = 3, 0.3
PAGES, PAGE, SAMPLE = 5, 1000, 200  # of the scan for each prefix, and the keys looked at


def answers() -> Iterator[Finding]:
    """Whether it answers, can be used, and when it thinks it is."""
    name = "Redis"
    try:
        seconds, micros, now = _time()
        told = _info("server") | _info("replication")
    except RedisAway:
        mend = "check REDIS_URL, that Redis runs, its password and firewalls (docs/redis.md)."
        yield fail(name, "does not answer within 60 ms; the library goes on without it, more slowly.", mend)
        return
    if told.get("redis_mode") == "cluster":
        yield fail(name, "is a Cluster, which cannot be used.", "take one Redis, or Sentinel (docs/scaling.md).")
    elif told.get("role") == "slave":
        yield fail(name, "is a replica, which refuses writes.", "name its master in REDIS_URL, or take Sentinel.")
    else:
        yield fine(name, "answers.")
    yield compare("clock of Redis", seconds + micros / 1e6, now)


def _time() -> tuple[int, int, float]:
    """Redis's seconds and microseconds, and ours; of three tries, as one may be late by chance. Raises RedisAway."""
    for _ in range(TRIES - 1):
        with suppress(RedisAway):
            redis.ask(lambda client: client.ping())
            break
        time.sleep(PAUSE_SECONDS)
    seconds, micros = redis.ask(lambda client: client.time())
    return seconds, micros, time.time()


def memory() -> Iterator[Finding]:
    """How much it may hold, and what it throws away then."""
    name, told = "memory of Redis", _info("memory")
    limit, used, policy = (told.get(key) for key in ("maxmemory", "used_memory", "maxmemory_policy"))
    if limit is None or used is None:
        yield fine(name, "it does not tell.")
    elif str(policy).startswith("allkeys"):
        said = f"when it is full, sessions and revoked tokens of the backend may go first ({policy})."
        yield warn(
            name, said, "`maxmemory-policy volatile-lru`: what has a term goes first, which is all that is cached."
        )
    elif limit and used > FULL * limit:
        yield warn(name, f"{used / limit:.0%} are used ({policy}).", "raise maxmemory, or lower CACHE_TTL.")
    elif not limit:
        yield fine(name, "no limit (maxmemory 0): it may grow until the machine's memory ends.")
    else:
        yield fine(name, f"{used / limit:.0%} are used ({policy}).")


def keys() -> Iterator[Finding]:
    """Whether what stands under our prefixes is ours, by a sample: of our types, and with a term."""
    bad = 0
    for prefix, expected in PREFIXES.items():
        sample = _sample(prefix)
        strange = _strange(sample, expected)
        if strange:
            bad += 1
            told = f"{strange} of {len(sample)} that begin with {prefix} are not ours, or have no term."
            mend = "let others use other names, or a database of their own (the number in REDIS_URL)."
            yield warn("keys of Redis", told, mend)
    if not bad:
        yield fine("keys of Redis", "under our prefixes are only keys of ours, as far as looked at.")


def _sample(prefix: str) -> list[bytes]:
    found: set[bytes] = set()
    cursor = 0
    for _ in range(PAGES):
        cursor, page = redis.ask(partial(_page, cursor, prefix))
        found.update(page)
        if not cursor or len(found) >= SAMPLE:
            break
    return sorted(found)[:SAMPLE]


def _page(cursor: int, prefix: str, client: Any) -> tuple[int, list[bytes]]:
    page: tuple[int, list[bytes]] = client.scan(cursor, match=f"{prefix}*", count=PAGE)
    return page


def _strange(sample: list[bytes], expected: bytes | None) -> int:
    batch = redis.batch()
    asked = [(key, batch.add("TYPE", key), batch.add("PTTL", key)) for key in sample]
    strange = 0
    for key, kind, term in asked:
        is_gone = kind.get() in (b"none", "none")
        wrong_type = expected is not None and kind.get() != expected
        endless = term.get() == -1 and key not in LIVE_ON
        strange += not is_gone and (wrong_type or endless)
    return strange


def _info(section: str) -> dict[str, Any]:
    """Empty where INFO is not allowed, as at some managed services."""

    def ask(client: Any) -> dict[str, Any]:
        try:
            return dict(client.info(section))
        except ResponseError:
            return {}

    return redis.ask(ask)
