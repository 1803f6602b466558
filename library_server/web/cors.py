"""Pages of other origins that may call us (the Fetch standard's CORS protocol)."""

from collections.abc import Sequence
from functools import lru_cache

from flask import Blueprint, Flask
from flask_cors import CORS

_SENT = ["Authorization", "Content-Type", "If-Match", "If-None-Match", "Range", "If-Range"]
_SHOWN = ["ETag", "Location", "Retry-After", "Content-Range", "Content-Disposition", "X-Request-ID",
          "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]  # fmt: skip
_PREFLIGHT_SECONDS = 600


def allow_origins(blueprint: Blueprint | Flask, origins: Sequence[str]) -> None:
    """Lets pages of these origins call the routes of `blueprint`, with a token but without cookies, which we have not.

    Does nothing where there are none.
    """
    if origins:
        CORS(
            blueprint,
            origins=list(origins),
            allow_headers=_SENT,
            expose_headers=_SHOWN,
            max_age=_PREFLIGHT_SECONDS,
            vary_header=True,
        )


@lru_cache(256)
def headers_of(origins: tuple[str, ...], origin: str | None) -> list[tuple[str, str]]:
    """What `allow_origins` adds to the answer to a GET with this ``Origin``."""
    if not origins:
        return []
    probe = Flask("probe", static_folder=None)
    allow_origins(probe, origins)
    with probe.test_request_context(headers={"Origin": origin} if origin else {}):
        return probe.process_response(probe.response_class()).headers.to_wsgi_list()[1:]
