"""Pages of other origins that may call us (the Fetch standard's CORS protocol)."""

from collections.abc import Sequence

from flask import Blueprint
from flask_cors import CORS

_SENT = ["Authorization", "Content-Type", "If-Match", "If-None-Match", "Range", "If-Range"]
_SHOWN = ["ETag", "Location", "Retry-After", "Content-Range", "Content-Disposition", "X-Request-ID",
          "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]  # fmt: skip
_PREFLIGHT_SECONDS = 600


def allow_origins(blueprint: Blueprint, origins: Sequence[str]) -> None:
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
