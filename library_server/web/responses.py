"""Responses: JSON with validators, and the preconditions that clients send back."""

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from library_server.errors import PreconditionFailed
from library_server.lib import json
from library_server.lib.digests import tag

_ETAG_SEPARATOR = "."


def json_response(payload: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`payload` as JSON that nobody may keep."""
    response = Response(json.encode(payload), status, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.update(headers or {})
    return response


def revalidated(payload: Any, revision: str | None = None, status: int = 200) -> Response:
    """`payload` as JSON with a strong ETag (RFC 9110 section 8.8.3), or 304 where the client has it already.

    The ETag is ``"<revision>.<digest of the body>"``: the body of an item changes with every view that is counted,
    its revision only when somebody edits it, and `expected_revisions` looks at that part alone.
    """
    body = json.encode(payload)
    response = Response(body, status, mimetype="application/json")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Authorization"
    etag = f"{revision}{_ETAG_SEPARATOR}{tag(body)}" if revision else tag(body)
    response.set_etag(etag)
    if request.method in ("GET", "HEAD"):
        expected = expected_revisions()
        if expected is not None and etag.split(_ETAG_SEPARATOR)[0] not in expected:
            raise PreconditionFailed
        if request.if_none_match.star_tag or request.if_none_match.contains_weak(etag):
            response.status_code = 304
            response.set_data(b"")
            del response.headers["Content-Type"], response.headers["Content-Length"]
    return response


def expected_revisions() -> frozenset[str] | None:
    """The revisions that ``If-Match`` allows; None where it is absent or ``*``.

    Weak tags count too: a proxy that compresses makes ours weak on the way.
    """
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    return frozenset((etag or "").split(_ETAG_SEPARATOR)[0] for etag in request.if_match.as_set(include_weak=True))
