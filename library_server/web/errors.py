"""The one place where errors become JSON."""

import logging
import math
import time
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, request
from flask_limiter.errors import RateLimitExceeded
from psycopg2.errors import ReadOnlySqlTransaction
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError
from werkzeug.exceptions import HTTPException, default_exceptions
from werkzeug.routing import RequestRedirect

from library_server.errors import BodyTooLarge, LibraryError, Unavailable
from library_server.extensions import limiter
from library_server.lib.outlines import kind, outline
from library_server.web.responses import json_response

log = logging.getLogger(__name__)

_SENTENCES = {404: "Not found", 413: BodyTooLarge.message, 500: LibraryError.message}


def handle_errors_of(blueprint: Blueprint) -> None:
    """Makes every error that a view of `blueprint` raises JSON."""
    blueprint.register_error_handler(LibraryError, _library_error)
    for away in (OperationalError, InterfaceError, TimeoutError):
        blueprint.register_error_handler(away, _database_away)
    for code in default_exceptions:  # by code, or a host's handler for the code would win over ours
        blueprint.register_error_handler(code, _http_error)
    blueprint.register_error_handler(RateLimitExceeded, _limit_exceeded)
    blueprint.register_error_handler(Exception, _unexpected)


def handle_routing_errors(app: Flask, prefixes: tuple[str, ...]) -> None:
    """Makes 404 and 405 below `prefixes` JSON.

    No blueprint is in charge of a path that no route matches, and an error handler of the application would change a
    host's own pages.
    """

    def answer() -> Response | None:
        error = request.routing_exception
        if error is None or isinstance(error, RequestRedirect) or not _below(request.path, prefixes):
            return None
        g.library_unmatched = True
        return _http_error(error)

    app.before_request(answer)


def _below(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in prefixes)


def _library_error(error: LibraryError) -> Response:
    payload: dict[str, object] = {"message": error.message}
    if error.problems:
        payload["errors"] = [problem._asdict() for problem in error.problems]
    return json_response(payload | _id_of_a_failure(error.status), error.status, error.headers)


def _id_of_a_failure(status: int) -> dict[str, str]:
    """Where we are at fault the body bears the request's id, as the log does; every answer has it as a header."""
    return {"request_id": g.library_request_id} if status >= 500 and "library_request_id" in g else {}


def _limit_exceeded(error: RateLimitExceeded) -> Response:
    reached = limiter.current_limit
    seconds = max(math.ceil(reached.reset_at - time.time()), 1) if reached else 1
    payload = {"message": "Rate limit exceeded. Please try again later.", "retry_after_seconds": seconds}
    return json_response(payload, 429, {"Retry-After": str(seconds)})


def tell_limits(response: Response) -> Response:
    """The headers that say how many requests are left; for ``after_request``."""
    limit = limiter.current_limit
    if limit is not None:
        response.headers.update(limit_headers(limit.limit.amount, limit.remaining, limit.reset_at))
    return response


def limit_headers(amount: int, remaining: int, reset_at: int) -> list[tuple[str, str]]:
    """How many requests a limit allows, how many are left, and the second since 1970 at which there are more."""
    return [
        ("X-RateLimit-Limit", str(amount)),
        ("X-RateLimit-Remaining", str(max(remaining, 0))),
        ("X-RateLimit-Reset", str(reset_at)),
    ]


def _http_error(error: HTTPException) -> Response:
    code = error.code or 500
    message = _SENTENCES.get(code, error.name.capitalize())
    kept = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After", "Content-Range")}
    return json_response({"message": message} | _id_of_a_failure(code), code, kept)


def _database_away(error: Exception) -> Response:
    log.error("PostgreSQL failed a request: %s", kind(getattr(error, "orig", error)))
    return _library_error(Unavailable())


def _unexpected(error: Exception) -> Response:
    if isinstance(error, DBAPIError) and (
        error.connection_invalidated  # lost in the middle of an answer
        or isinstance(error.orig, ReadOnlySqlTransaction)  # its disk is full, or a standby stands in its place
    ):
        return _database_away(error)
    config: Any = current_app.extensions.get("library_config")
    if config is not None and config.app_env == "development":
        log.error("Unexpected error", exc_info=error)
    else:  # in a host's log, too, without what the error says
        log.error("Unexpected error\n%s", outline(error))
    return _library_error(LibraryError())
