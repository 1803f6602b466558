"""The fast lane of content files that nginx sends: a short way in front of Flask to say so.

It gives what the normal way would give, by the same functions, or nothing: whatever is not a good link, or a token that
this process has let in within the last minute, and the whole of a file that is there and known not to be retired, goes
the normal way, uncounted so far. tests/test_file_lane.py holds it to the normal way.
"""

import functools
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from flask import Flask
from limits import parse_many

from library_server import storage
from library_server.accounts import services
from library_server.actor import Actor
from library_server.files.queries import retired_key
from library_server.lane import FRESH, UNREVOKED, Environ, Start, counter_of, leave
from library_server.lib import filenames, signing
from library_server.lib.media_types import CONTENT_TYPES
from library_server.lib.paths import is_safe
from library_server.shared import limits
from library_server.shared.gate import GENERATION, RedisAway
from library_server.shared.redis import Script, batch_of_a_request
from library_server.storage.base import FileMissing, Stat
from library_server.web import caching, watch
from library_server.web.clients import address_of
from library_server.web.cors import headers_of
from library_server.web.errors import limit_headers
from library_server.web.files import file_headers, nginx_headers
from library_server.web.links import link_key

PREFIX, RULE, SCOPE = "/content/", "/content/<path:path>", "files"  # of files.routes.content_file
_LINK = re.compile(r"expires=([0-9]{1,12})&signature=([0-9a-f]{64})")
_UNUSUAL = tuple(
    f"HTTP_{name}"
    for name in (
        *("RANGE", "IF_RANGE", "IF_MATCH", "IF_NONE_MATCH"),
        *("IF_MODIFIED_SINCE", "IF_UNMODIFIED_SINCE"),
    )
)
# Only where it is known that the file is not retired.
_SHOWN = "if string.sub(redis.call('GET', KEYS[2]) or '', -6) ~= '\\nfalse' then return false end"
_LOOK = Script(limits.HIT + UNREVOKED + _SHOWN + FRESH)
_LINK_ALONE: services.Revocation = ([], [])


@dataclass(frozen=True)
class Asked:
    """A file by its path, and by whom: as limits name them and as the log does; what would revoke the token."""

    path: str
    caller: str
    kind: str
    revocation: services.Revocation


@functools.lru_cache(1024)
def _headers(path: str, stat: Stat) -> tuple[tuple[str, str], ...]:
    told = nginx_headers("content", path, file_headers("content", path, stat), whole=True)
    return (*told.items(), ("Content-Length", "0"))


class FileLane:
    """WSGI middleware for an application of `create_app` with USE_X_ACCEL_REDIRECT."""

    def __init__(self, app: Flask) -> None:
        self._app, self._normally = app, app.wsgi_app
        self._config = app.extensions["library_config"]
        self._gate = app.extensions["library_redis"]
        self._metrics = app.extensions["library_metrics"]
        self._limits = parse_many(self._config.rate_limit_files)
        self._begun = False
        with app.app_context():
            self._key, self._fingerprint, self._content = link_key(), caching.fingerprint(), storage.content()

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """The answer of the lane, else of the application."""
        asked = self._asked(environ) if self._begun else None
        if asked is not None and self._answer(environ, asked, start_response):
            return [b""]
        # the normal way to a route of ours, gone once, begins this process's housekeeping
        self._begun = self._begun or environ["PATH_INFO"].startswith(PREFIX)
        return self._normally(environ, start_response)

    def _asked(self, environ: Environ) -> Asked | None:
        """The file that a good link or token asks for, without any condition."""
        if environ["REQUEST_METHOD"] != "GET" or any(name in environ for name in _UNUSUAL):
            return None
        try:
            address = environ["PATH_INFO"].encode("latin-1").decode()
        except UnicodeError:
            return None
        path = address.removeprefix(PREFIX)
        if path == address or filenames.extension(path) not in CONTENT_TYPES or not is_safe(path):
            return None
        query, header = environ.get("QUERY_STRING", ""), environ.get("HTTP_AUTHORIZATION")
        return self._with_link(environ, path, query) if header is None else self._with_token(path, query, header)

    def _with_link(self, environ: Environ, path: str, query: str) -> Asked | None:
        link = _LINK.fullmatch(query)
        if link is None:
            return None
        expires, signature = link.groups()
        if not signing.verify(self._key, signature, "all", expires, path) or int(expires) <= time.time():
            return None
        return Asked(path, f"ip-{address_of(environ, self._config.trusted_proxies)}", "anonymous", _LINK_ALONE)

    def _with_token(self, path: str, query: str, header: str) -> Asked | None:
        recalled = None if query else services.recall(self._app, header)
        if recalled is None:
            return None
        token, claims = recalled
        return Asked(
            path, Actor(claims.user, claims.kind).user_id, claims.kind, services.revocation_of(token, claims.jti)
        )

    def _answer(self, environ: Environ, asked: Asked, start_response: Start) -> bool:
        """Whether it was given; if not, the normal way is to be gone."""
        started, config = time.perf_counter(), self._config
        try:
            stat = self._content.stat(asked.path)
        except (FileMissing, OSError):
            return False
        left = self._look(environ, asked)
        if left is None:
            return False
        headers = [
            *_headers(asked.path, stat),
            *limit_headers(self._limits[0].amount, *left),
            *headers_of(config.cors_origins, environ.get("HTTP_ORIGIN")),
            (watch.HEADER, request_id := watch.request_id(environ.get("HTTP_X_REQUEST_ID", ""))),
        ]
        start_response("200 OK", headers)
        self._tell(asked.kind, stat, started, request_id)
        return True

    def _look(self, environ: Environ, asked: Asked) -> tuple[int, int] | None:
        """What is left of the limit, which has counted this request; None where the file may not be for who asks."""
        gate, limit = self._gate, self._limits[0]
        if len(self._limits) > 1 or not self._config.cache_ttl or gate.away or gate.forgets or gate.unsure:
            return None
        batch, seconds = batch_of_a_request(gate), limit.get_expiry()
        revoked, jti = asked.revocation
        keys = [GENERATION, retired_key(asked.path), counter_of(limit, asked.caller, SCOPE)]
        given: list[str | int | bytes] = [self._fingerprint, int(time.time()), limit.amount, seconds]
        try:
            told = _LOOK.call(batch, keys + revoked, [*given, *jti])
        except RedisAway:
            return None
        if not isinstance(told, list) or not caching.read_entry(told[0]):
            leave(environ, batch, asked.revocation, told)
            return None
        return limits.left_of(limit.amount, seconds, *told[1:])

    def _tell(self, user: str, stat: Stat, started: float, request_id: str) -> None:
        milliseconds = round((time.perf_counter() - started) * 1000, 3)
        counted = self._metrics if self._config.enable_metrics else None
        watch.tell(RULE, "GET", 200, milliseconds, stat.size, user, request_id, "x_accel", counted)
