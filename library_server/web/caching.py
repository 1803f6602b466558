"""Answers kept in Redis as finished bytes: a hit costs no query and no JSON.

An entry counts under the generation that it was built in. Whoever changes the library makes a new one (`forget`), which
ends all entries at once, on every worker and replica, and deletes nothing.
"""

import functools
import hashlib
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from flask import Response, current_app, request
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError, TimeoutError

from library_server.config import current_config
from library_server.extensions import cache, db
from library_server.lib.digests import tag
from library_server.metrics import metrics
from library_server.shared.cache import expect
from library_server.shared.gate import GENERATION, GENERATION_SECONDS, RedisAway
from library_server.shared.redis import Script, redis
from library_server.version import __version__
from library_server.web import links, replica
from library_server.web.changes import look_for_changes
from library_server.web.inputs import known
from library_server.web.responses import Page, answer

JITTER = 0.1  # of CACHE_TTL, so that what was cached together is not rebuilt together
GRACE_SECONDS = 30  # an entry past its time is served on while one caller rebuilds it
LOCK_SECONDS = 5
_WAIT_SECONDS, _LOOK_SECONDS = 0.5, 0.02

# An entry begins with its generation and the second at which it wants to be rebuilt.
_OUTDATE = Script("""
local head, rest = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) %d+( .*)$')
if head then redis.call('SET', KEYS[1], head .. ' 0' .. rest, 'KEEPTTL') end
""")

Build = Callable[..., Page]
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Asked:
    """What a key is made of: endpoint, the rule's variables, the query's first values, whether a replica is read."""

    endpoint: str
    arguments: Mapping[str, Any]
    query: Mapping[str, str]
    elsewhere: bool


KeyOf = Callable[[Asked], str | None]


@dataclass(frozen=True)
class Entry:
    """A page, and the second since 1970 at which it wants to be rebuilt."""

    page: Page
    fresh_until: int


def cached(key_of: KeyOf) -> Callable[[Build], Callable[..., Response]]:
    """A decorator for the view that builds a Page: under ``key_of(what is asked)`` it is kept; None: not at all.

    Below a guard, the entry is fetched in the round trip in which the guard asks Redis.
    """

    def decorate(build: Build) -> Callable[..., Response]:
        def come_along(**arguments: Any) -> None:
            key = _key(key_of, arguments)
            if key is not None:
                prefetch(key)

        @functools.wraps(build)
        def view(**arguments: Any) -> Response:
            key = _key(key_of, arguments)
            if key is None:
                page, how = build(**arguments), "uncached"
            else:
                page, how = _through(key, lambda: build(**arguments))
            metrics().count_cached(build.__name__, how)
            return answer(page)

        view.library_prefetch = come_along  # type: ignore[attr-defined]
        view.library_key_of = key_of  # type: ignore[attr-defined]
        return view

    return decorate


def with_generation(view: Callable[P, R]) -> Callable[P, R]:
    """A decorator for a view that needs the `generation`: it comes in the round trip in which the guard asks Redis."""
    view.library_prefetch = lambda **_: expect(GENERATION)  # type: ignore[attr-defined]
    return view


def prefetch(key: str) -> None:
    """Lets what is kept under `key` come with the request's next round trip."""
    if current_config().cache_ttl:
        expect(GENERATION, key)


def kept(key: str, build: Callable[[], Page]) -> Page:
    """What `build` makes, kept under `key` as answers are: until anybody changes the library, or CACHE_TTL."""
    return _through(key, build)[0] if current_config().cache_ttl else build()


def query_key(schema: type[BaseModel]) -> KeyOf:
    """The key of a list, search or facet: a digest of the route, its arguments and the query that `schema` knows.

    What editors alone may see (``active``) is not kept, so that every entry is for everybody who is signed in.
    """

    def key_of(asked: Asked) -> str | None:
        query = known(schema, asked.query)
        if query.pop("active", "true") != "true":
            return None
        told = repr([asked.endpoint, sorted(asked.arguments.items()), sorted(query.items()), asked.elsewhere])
        return f"search_cache:{hashlib.sha256(told.encode(errors='surrogatepass')).hexdigest()[:32]}"

    return key_of


def outdate(keys: Iterable[str]) -> None:
    """Lets these entries be rebuilt by the next who ask; while that is not possible they are served on."""
    for key in keys:
        with suppress(RedisAway):
            _OUTDATE.call(redis.batch(), [key], [])


def forget(*_: object, **__: object) -> None:
    """Ends every entry. Connected to the signals of what is cached."""
    redis.gate.forget()


def _key(key_of: KeyOf, arguments: dict[str, Any]) -> str | None:
    if not current_config().cache_ttl:
        return None
    return key_of(Asked(request.endpoint or "", arguments, request.args, replica.elsewhere()))


def _through(key: str, build: Callable[[], Page]) -> tuple[Page, str]:
    """The page, and how it came about: hit, stale, miss, or uncached where Redis could not be used."""
    current = generation()
    if current is None:
        return build(), "uncached"
    entry = _read(key, current)
    if entry is not None and time.time() < entry.fresh_until:
        return entry.page, "hit"
    lock = f"library:lock:{key}"
    if not cache.add(lock, b"1", LOCK_SECONDS):
        if entry is not None:
            return entry.page, "stale"
        page = _wait_for(key, current)
        return (page, "hit") if page is not None else (build(), "miss")
    try:
        page = build()
        _keep(key, current, page)
    except (DBAPIError, TimeoutError):
        if entry is None:
            raise
        db.session.rollback()
        return entry.page, "stale"
    finally:
        cache.delete(lock)
    return page, "miss"


def generation() -> str | None:
    """What entries must carry to count now; None while nothing in Redis can be trusted or kept.

    Servers with other settings or of another version build other pages.
    """
    found, gate = cache.get(GENERATION), redis.gate
    if gate.away or gate.forgets:
        return None
    if gate.unsure:
        with suppress(DBAPIError, TimeoutError, RedisAway):  # away too: what is kept is all there is
            look_for_changes()
        found = cache.get(GENERATION)
    if found is None or not found.isdigit():
        try:
            batch = redis.batch()
            batch.add("SET", GENERATION, time.time_ns(), "EX", GENERATION_SECONDS, *([] if found else ["NX"]))
            found = batch.add("GET", GENERATION).get()
        except RedisAway:
            return None
    if found is None or not found.isdigit():
        return None
    return f"{found.decode()}.{fingerprint()}"


def fingerprint() -> str:
    """Of what makes a server build other pages than the next: its version and some settings."""
    kept: dict[str, Any] = current_app.extensions
    if "library_fingerprint" not in kept:
        config = current_config()
        told = (__version__, config.cdn_base_url, config.content_files_access, config.signed_url_ttl, links.link_key())
        kept["library_fingerprint"] = tag(repr(told).encode())
    return str(kept["library_fingerprint"])


def read_entry(value: object) -> tuple[str, Entry] | None:
    """The generation and the entry that `value` is; None for whatever else may stand in its place."""
    if not isinstance(value, bytes):
        return None
    head, _, body = value.partition(b"\n")
    words = head.decode("ascii", "replace").split(" ")
    if len(words) != 3 or not words[1].isdigit():
        return None
    page = Page(body, words[2])
    return (words[0], Entry(page, int(words[1]))) if page.is_whole() else None


def _read(key: str, generation: str) -> Entry | None:
    """The entry; None for none and an old one."""
    found = read_entry(cache.get(key))
    return found[1] if found is not None and found[0] == generation else None


def _keep(key: str, generation: str, page: Page) -> None:
    now = time.time()
    lifetime = min(current_config().cache_ttl, replica.KEPT_SECONDS if replica.lagged() else math.inf)
    fresh_until = int(now + lifetime * random.uniform(1 - JITTER, 1))  # noqa: S311 (no secret)
    seconds = int(min(fresh_until + GRACE_SECONDS, links.links_change_at(now)) - now)
    if seconds >= 1:
        head = f"{generation} {fresh_until} {page.etag}\n".encode()
        cache.set(key, head + page.body, seconds)


def _wait_for(key: str, generation: str) -> Page | None:
    """What another caller is building."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        entry = _read(key, generation)
        if entry is not None:
            return entry.page
    return None
