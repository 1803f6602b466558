"""Responses: JSON with validators, and the preconditions that clients send back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from library_server.errors import PreconditionFailed
from library_server.lib import json
from library_server.lib.digests import tag

_ETAG_SEPARATOR = "."
# What an answer of ours is to a browser, unless it says otherwise: nothing to guess the type of, to run, to frame, or
# to tell another site of (a link to a file is signed in its query).
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def json_response(payload: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`payload` as JSON that nobody may keep."""
    response = Response(json.encode(payload), status, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(headers or {})
    return response


@dataclass(frozen=True)
class Page:
    """The finished bytes of a JSON answer and its ETag, ``<revision>.<digest of the body>`` or the digest alone.

    The body of an item changes with every view that is counted, its revision only when somebody edits it, and
    `expected_revisions` looks at that part alone.
    """

    body: bytes
    etag: str

    def is_whole(self) -> bool:
        """Whether the body is the one that the ETag was made for."""
        return self.etag.rpartition(_ETAG_SEPARATOR)[2] == tag(self.body)


def page(payload: Any, revision: str | None = None) -> Page:
    """`payload` as JSON; `revision` is that of the one item that it shows."""
    body = json.encode(payload)
    return Page(body, f"{revision}{_ETAG_SEPARATOR}{tag(body)}" if revision else tag(body))


def page_headers(page: Page) -> list[tuple[str, str]]:
    """What goes with a page that is sent: whose it is, and its strong ETag (RFC 9110 section 8.8.3)."""
    return [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(page.body))),
        ("Cache-Control", "private, no-cache"),
        ("Vary", "Authorization"),
        ("ETag", f'"{page.etag}"'),
    ]


def answer(page: Page, status: int = 200) -> Response:
    """`page`, or 304 where the client has it already.

    Raises PreconditionFailed.
    """
    response = Response(page.body, status, headers=page_headers(page))
    if request.method in ("GET", "HEAD"):
        expected = expected_revisions()
        if expected is not None and page.etag.split(_ETAG_SEPARATOR)[0] not in expected:
            raise PreconditionFailed
        if request.if_none_match.star_tag or request.if_none_match.contains_weak(page.etag):
            response.status_code = 304
            response.set_data(b"")
            del response.headers["Content-Type"], response.headers["Content-Length"]
    return response


def revalidated(payload: Any, revision: str | None = None, status: int = 200) -> Response:
    """`payload` as `page` and `answer` make it."""
    return answer(page(payload, revision), status)


def expected_revisions() -> frozenset[str] | None:
    """The revisions that ``If-Match`` allows; None where it is absent or ``*``.

    Weak tags count too: a proxy that compresses makes ours weak on the way.
    """
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    return frozenset((etag or "").split(_ETAG_SEPARATOR)[0] for etag in request.if_match.as_set(include_weak=True))
