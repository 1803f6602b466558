"""Every request of ours leaves a line in the log, is counted, and has an id; its answer is safe for browsers."""

import logging
import re
import secrets
import time
from typing import Any

from flask import Flask, Request, Response, g, request

from library_server.config import current_config
from library_server.extensions import limiter
from library_server.metrics import LIMITS, metrics
from library_server.web.files import FileResponse
from library_server.web.responses import SAFE_HEADERS

log = logging.getLogger("library_server.requests")

HEADER = "X-Request-ID"
UNMATCHED = "unmatched"
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def watch(app: Flask) -> None:
    """To be called before other hooks are made, so that these are the first before a request and the last after it."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    told = request.headers.get(HEADER, "")
    g.library_started = time.perf_counter()
    g.library_request_id = told if _SANE.fullmatch(told) else secrets.token_hex(16)


def _end(response: Response) -> Response:
    kept: Any = g._get_current_object()  # each look through a proxy costs a microsecond
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    ours = "library_unmatched" in kept or (asked.endpoint or "").startswith("library.")
    if "library_started" not in kept or not ours:
        return response
    seconds = time.perf_counter() - kept.library_started
    response.headers[HEADER] = kept.library_request_id
    if response.status_code != 304:  # whose headers would replace those that the client has kept
        for name, value in SAFE_HEADERS.items():
            response.headers.setdefault(name, value)
    route = asked.url_rule.rule if asked.url_rule is not None else UNMATCHED
    method = asked.method if asked.method in _METHODS else "OTHER"
    way, size = _way(asked, response)
    caller = kept.get("library_caller")
    if log.isEnabledFor(logging.INFO):
        fields = {
            "route": route,
            "method": method,
            "status": response.status_code,
            "milliseconds": round(seconds * 1000, 2),
            "bytes": size,
            "user": caller.kind if caller else "anonymous",
        }
        _say(fields)
    if current_config().enable_metrics:
        metrics().count_answer(route, method, response.status_code, way, seconds, size)
        if response.status_code == 429:
            metrics().limit_refusals.labels(_limit()).inc()
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


def _say(fields: dict[str, Any]) -> None:
    """Which route, never which path; a parent or a child, never who."""
    text = "%(method)s %(route)s %(status)d in %(milliseconds)s ms, %(bytes)d bytes, for %(user)s"
    line = logging.LogRecord(log.name, logging.INFO, __file__, 0, text, (fields,), None)  # nobody asks who calls us
    line.library_fields = fields
    log.handle(line)


def _limit() -> str:
    """The name of the limit that refused; those of single routes go by one name."""
    reached = limiter.current_limit
    name = reached.key.split("/")[2] if reached else ""
    return name if name in LIMITS else "default"
