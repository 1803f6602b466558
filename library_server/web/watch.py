"""Every request of ours leaves a line in the log, is counted, and has an id that its answer bears."""

import logging
import re
import secrets
import time

from flask import Flask, Response, g, request

from library_server.config import current_config
from library_server.extensions import limiter
from library_server.metrics import LIMITS, metrics
from library_server.web.files import FileResponse

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
    g.library_started = time.perf_counter()
    told = request.headers.get(HEADER, "")
    g.library_request_id = told if _SANE.fullmatch(told) else secrets.token_hex(16)


def _end(response: Response) -> Response:
    ours = "library_unmatched" in g or (request.endpoint or "").startswith("library.")
    if "library_started" not in g or not ours:
        return response
    seconds = time.perf_counter() - g.library_started
    response.headers[HEADER] = g.library_request_id
    route = request.url_rule.rule if request.url_rule is not None else UNMATCHED
    method = request.method if request.method in _METHODS else "OTHER"
    way, size = _way(response)
    if log.isEnabledFor(logging.INFO):
        _say(route, method, response.status_code, seconds * 1000, size)
    if current_config().enable_metrics:
        kept = metrics()
        kept.requests.labels(route, method, response.status_code).inc()
        kept.request_seconds.labels(route).observe(seconds)
        kept.responses.labels(way).inc()
        kept.response_bytes.labels(way).inc(size)
        if response.status_code == 429:
            kept.limit_refusals.labels(_limit()).inc()
    return response


def _way(response: Response) -> tuple[str, int]:
    """How the body travels, and its bytes."""
    if response.status_code == 304:
        return "not_modified", 0
    if request.method == "HEAD":
        return "head", 0
    if isinstance(response, FileResponse) and response.bytes_by_nginx is not None:
        return "x_accel", response.bytes_by_nginx
    return "python", response.content_length or 0


def _say(route: str, method: str, status: int, milliseconds: float, size: int) -> None:
    """Which route, never which path; a parent or a child, never who."""
    caller = g.get("library_caller")
    fields = {
        "route": route,
        "method": method,
        "status": status,
        "milliseconds": round(milliseconds, 2),
        "bytes": size,
        "user": caller.kind if caller else "anonymous",
    }
    log.info(
        "%s %s %d in %.1f ms, %d bytes, for %s, %s",
        *(method, route, status, milliseconds, size, fields["user"], g.library_request_id),
        extra={"library_fields": fields},
    )


def _limit() -> str:
    """The name of the limit that refused; those of single routes go by one name."""
    reached = limiter.current_limit
    name = reached.key.split("/")[2] if reached else ""
    return name if name in LIMITS else "default"
