"""The fast lane: a short way, in front of Flask, for signed-in GETs whose answer stands in Redis.

It gives what the normal way would give, by the same functions, or nothing: whatever is not an ordinary hit (a refusal,
a miss, a precondition, a token or a user that this process has not let in within the last minute) goes the normal way,
uncounted so far. One script asks Redis for all that a hit depends on. tests/test_lane.py holds it to the normal way.
"""

import functools
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from flask import Flask, Request
from limits import RateLimitItem, parse_many

from library_server.accounts import services
from library_server.actor import Actor
from library_server.shared import limits
from library_server.shared.gate import GENERATION, RedisAway
from library_server.shared.redis import Batch, Script, batch_of_a_request
from library_server.web import caching, watch
from library_server.web.cors import headers_of
from library_server.web.errors import limit_headers
from library_server.web.replica import reads_elsewhere
from library_server.web.responses import SAFE_HEADERS, Page, page_headers

MOST_KEYS, LONGEST_QUERY = 4096, 200  # keys that are remembered, and of which queries (bytes)
_VARIABLE = re.compile(r"<int:(\w+)>")
_UNUSUAL = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")

# A fresh entry is told, and the request counted. KEYS: generation, entry, limit. ARGV: fingerprint, now, limit, window.
FRESH = """
local generation, entry = unpack(redis.call('MGET', KEYS[1], KEYS[2]))
if not (generation and entry) then return false end
local head = generation .. '.' .. ARGV[1] .. ' '
if string.sub(entry, 1, #head) ~= head then return false end
local fresh_until = tonumber(string.match(entry, '^%d+', #head + 1))
if not fresh_until or tonumber(ARGV[2]) >= fresh_until then return false end
local counted = hit(KEYS[3], tonumber(ARGV[3]), tonumber(ARGV[4]), 1)
if counted[1] == 0 then return false end
return {entry, counted[2], counted[3], counted[4]}
"""
# To stand before it, with what `limits.REVOKED` wants after its own KEYS and ARGV.
UNREVOKED = f"{limits.REVOKED} if revoked(4, 5) then return 'revoked' end\n"
_LOOK = Script(limits.HIT + UNREVOKED + FRESH)

Environ = dict[str, Any]
Start = Callable[..., Any]


@dataclass(frozen=True)
class Route:
    """A route whose answers are cached for everybody who is signed in."""

    rule: str
    endpoint: str
    name: str  # of the view
    key_of: caching.KeyOf
    limit: RateLimitItem
    scope: str
    signal: Any  # sent with the rule's variables when it was answered, or None


@dataclass(frozen=True)
class Wanted:
    """A route with its variables, and the key of its answer."""

    route: Route
    arguments: dict[str, int]
    key: str


class FastLane:
    """WSGI middleware for an application of `create_app`, all of whose routes are there."""

    def __init__(self, app: Flask) -> None:
        self._app, self._normally = app, app.wsgi_app
        self._config = app.extensions["library_config"]
        self._gate = app.extensions["library_redis"]
        self._metrics = app.extensions["library_metrics"]
        with app.app_context():
            self._fingerprint = caching.fingerprint()
        self._routes = list(_routes(app))
        self._wanted = functools.lru_cache(MOST_KEYS)(self._find)

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """The answer of the lane, else of the application."""
        body = self._answer(environ, start_response)
        return self._normally(environ, start_response) if body is None else [body]

    def _answer(self, environ: Environ, start_response: Start) -> bytes | None:
        """The body, after `start_response` was called; None where the normal way is to be gone."""
        started, gate = time.perf_counter(), self._gate
        query = environ.get("QUERY_STRING", "")
        if (
            environ["REQUEST_METHOD"] != "GET"
            or len(query) > LONGEST_QUERY
            or any(name in environ for name in _UNUSUAL)
            or gate.away
            or gate.forgets
            or gate.unsure
        ):
            return None
        recalled = services.recall(self._app, environ.get("HTTP_AUTHORIZATION"))
        if recalled is None:
            return None
        token, claims = recalled
        wanted = self._wanted(environ["PATH_INFO"], query, reads_elsewhere(self._app, claims.kind))
        if wanted is None:
            return None
        found = self._look(environ, wanted, Actor(claims.user, claims.kind), token, claims.jti)
        if found is None:
            return None
        page, left = found
        headers = [
            *page_headers(page),
            *limit_headers(wanted.route.limit.amount, *left),
            *SAFE_HEADERS.items(),
            *headers_of(self._config.cors_origins, environ.get("HTTP_ORIGIN")),
            (watch.HEADER, request_id := watch.request_id(environ.get("HTTP_X_REQUEST_ID", ""))),
        ]
        start_response("200 OK", headers)
        self._tell(wanted, claims.kind, len(page.body), started, request_id)
        return page.body

    def _look(
        self, environ: Environ, wanted: Wanted, caller: Actor, token: str, jti: str | None
    ) -> tuple[Page, tuple[int, int]] | None:
        """The page, and what is left of the limit, which has counted this request; None for all but an ordinary hit."""
        limit, batch = wanted.route.limit, batch_of_a_request(self._gate)
        seconds = limit.get_expiry()
        counter = counter_of(limit, caller.user_id, wanted.route.scope)
        revocation = services.revocation_of(token, jti)
        keys = [GENERATION, wanted.key, counter, *revocation[0]]
        given: list[str | int | bytes] = [self._fingerprint, int(time.time()), limit.amount, seconds, *revocation[1]]
        try:
            told = _LOOK.call(batch, keys, given)
        except RedisAway:
            return None
        found = caching.read_entry(told[0]) if isinstance(told, list) else None
        if found is None:
            leave(environ, batch, revocation, told)
            return None
        return found[1].page, limits.left_of(limit.amount, seconds, *told[1:])

    def _tell(self, wanted: Wanted, user: str, size: int, started: float, request_id: str) -> None:
        route = wanted.route
        milliseconds = round((time.perf_counter() - started) * 1000, 3)
        counted = self._metrics if self._config.enable_metrics else None
        watch.tell(route.rule, "GET", 200, milliseconds, size, user, request_id, "python", counted)
        self._metrics.count_cached(route.name, "hit")
        if route.signal is not None:
            route.signal.send(self._app, **wanted.arguments)

    def _find(self, path: str, query: str, elsewhere: bool) -> Wanted | None:
        for route in self._routes:
            match = re.fullmatch(_VARIABLE.sub(r"(?P<\1>[0-9]{1,18})", route.rule), path.removesuffix("/"))
            if match is not None:
                arguments = {name: int(value) for name, value in match.groupdict().items()}
                asked = Request({"QUERY_STRING": query}).args
                key = route.key_of(caching.Asked(route.endpoint, arguments, asked, elsewhere))
                return None if key is None else Wanted(route, arguments, key)
        return None


@functools.lru_cache(MOST_KEYS)
def counter_of(limit: RateLimitItem, caller: str, scope: str) -> str:
    """The key under which Redis counts the caller's requests."""
    return limits.named(limit.key_for(caller, scope))


def leave(environ: Environ, batch: Batch, revocation: services.Revocation, told: Any) -> None:
    """To the normal way: it need not wait once more for what was waited for here, nor ask what UNREVOKED has told."""
    for question in services.questions(revocation):
        batch.know(question, int(told == b"revoked"))
    environ[watch.BATCH] = batch


def _routes(app: Flask) -> Iterable[Route]:
    """Those whose view says that it is cached and for whom; with several limits the normal way has to be gone."""
    config = app.extensions["library_config"]
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        key_of, limit = getattr(view, "library_key_of", None), getattr(view, "library_limit", None)
        if key_of is None or limit is None or not config.cache_ttl:
            continue
        parsed = parse_many(getattr(config, f"rate_limit_{limit}"))
        scope = rule.endpoint if limit == "default" else limit
        if len(parsed) == 1:
            signal = getattr(view, "library_signal", None)
            yield Route(rule.rule, rule.endpoint, view.__name__, key_of, parsed[0], scope, signal)
