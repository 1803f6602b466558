"""Every request of ours leaves a line in the log, is counted, and has an id; its answer is safe for browsers."""

import logging
import re
import secrets
import time
from typing import Any

from flask import Flask, Request, Response, g, request

from library_server.config import current_config
from library_server.extensions import limiter
from library_server.metrics import LIMITS, Metrics, metrics
from library_server.web.files import FileResponse
from library_server.web.responses import SAFE_HEADERS

log = logging.getLogger("library_server.requests")

HEADER = "X-Request-ID"
BATCH = "library_server.batch"  # where the fast lane leaves the batch with which it asked Redis
UNMATCHED = "unmatched"
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def watch(app: Flask) -> None:
    """To be called before other hooks are made, so that these are the first before a request and the last after it."""
    app.before_request(_begin)
    app.after_request(_end)


def request_id(told: str) -> str:
    """The id that the client (or its proxy) gave the request, if it may stand in a log; else a new one."""
    return told if _SANE.fullmatch(told) else secrets.token_hex(16)


def tell(
    route: str, method: str, status: int, milliseconds: float, size: int, user: str, request_id: str, way: str,
    counted: Metrics | None,
) -> None:  # fmt: skip
    """Writes the log line of an answer that travelled this `way`, and counts it.

    Which route, never which path; a parent or a child, never who.
    """
    if log.isEnabledFor(logging.INFO):
        fields = {
            "route": route,
            "method": method,
            "status": status,
            "milliseconds": milliseconds,
            "bytes": size,
            "user": user,
            "request_id": request_id,
        }
        text = "%(method)s %(route)s %(status)d in %(milliseconds)s ms, %(bytes)d bytes, for %(user)s"
        line = logging.LogRecord(log.name, logging.INFO, __file__, 0, text, (fields,), None)  # nobody asks who calls
        line.library_fields = fields
        log.handle(line)
    if counted is not None:
        counted.count_answer(route, method, status, way, milliseconds / 1000, size)


def _begin() -> None:
    g.library_started = time.perf_counter()
    g.library_request_id = request_id(request.headers.get(HEADER, ""))
    if BATCH in request.environ:
        g.library_batch = request.environ[BATCH]


def _end(response: Response) -> Response:
    kept: Any = g._get_current_object()  # each look through a proxy costs a microsecond
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    ours = "library_unmatched" in kept or (asked.endpoint or "").startswith("library.")
    if "library_started" not in kept or not ours:
        return response
    milliseconds = round((time.perf_counter() - kept.library_started) * 1000, 3)
    response.headers[HEADER] = kept.library_request_id
    if response.status_code != 304:  # whose headers would replace those that the client has kept
        for name, value in SAFE_HEADERS.items():
            response.headers.setdefault(name, value)
    route = asked.url_rule.rule if asked.url_rule is not None else UNMATCHED
    method = asked.method if asked.method in _METHODS else "OTHER"
    way, size = _way(asked, response)
    caller = kept.get("library_caller")
    user = caller.kind if caller else "anonymous"
    counted = metrics() if current_config().enable_metrics else None
    tell(route, method, response.status_code, milliseconds, size, user, kept.library_request_id, way, counted)
    if counted is not None and response.status_code == 429:
        counted.limit_refusals.labels(_limit()).inc()
    return response


def _way(asked: Request, response: Response) -> tuple[str, int]:
    """How the body travels, and its bytes."""
    if response.status_code == 304:
        return "not_modified", 0
    if asked.method == "HEAD":
        return "head", 0
    if isinstance(response, FileResponse) and response.bytes_by_nginx is not None:
        return "x_accel", response.bytes_by_nginx
    return "python", response.content_length or 0


def _limit() -> str:
    """The name of the limit that refused; those of single routes go by one name."""
    reached = limiter.current_limit
    name = reached.key.split("/")[2] if reached else ""
    return name if name in LIMITS else "default"
