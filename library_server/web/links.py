"""Signed links: what lets ``<audio>`` and ``<img>``, which send no token, have a content file."""

import math
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal
from urllib.parse import quote

from library_server.config import current_config
from library_server.errors import LibraryError
from library_server.lib import signing

PURPOSE = "library-server link"
STEPS_PER_TTL = 4  # an hour's links change every quarter of it
Audience = Literal["all", "editors"]


class LinkInvalid(LibraryError):
    status, message = 403, "Link is invalid"


class LinkExpired(LibraryError):
    status, message = 403, "Link has expired"


def link_key() -> str:
    """The key of links; nginx may hold it to check them (``flask library link-key``)."""
    return _key(current_config().secret_key)


@lru_cache(maxsize=4)  # a page of a list signs twenty links
def _key(secret: str) -> str:
    return signing.derive_key(secret, PURPOSE)


def file_url(path: str, audience: Audience = "all") -> str:
    """Where the content file is served, signed when files want that. `audience` ``editors``: also while retired.

    The link lives SIGNED_URL_TTL seconds to a quarter more: its end is rounded up, so that it repeats and caches hold.
    """
    config = current_config()
    if config.content_files_access == "public" and audience == "all":
        return f"{config.cdn_base_url}/content/{quote(path)}"
    return config.cdn_base_url + _signed(config.secret_key, audience, _end(time.time(), config.signed_url_ttl), path)


@lru_cache(maxsize=2000)  # they repeat: an edit ends every list that is kept, but of few the links
def _signed(secret: str, audience: Audience, expires: int, path: str) -> str:
    signature = signing.sign(_key(secret), audience, str(expires), path)
    editors = "&audience=editors" if audience == "editors" else ""
    return f"/content/{quote(path)}?expires={expires}&signature={signature}{editors}"


def links_change_at(now: float) -> float:
    """The second since 1970 from which `file_url` gives other links than now."""
    ttl = current_config().signed_url_ttl
    return _end(now, ttl) - ttl


def _end(now: float, ttl: int) -> int:
    step = max(ttl // STEPS_PER_TTL, 1)
    return math.ceil((now + ttl) / step) * step


def check_link(path: str, arguments: Mapping[str, str]) -> Audience:
    """Whom the link's query string lets see `path`. Raises LinkInvalid or LinkExpired."""
    expires, signature = arguments.get("expires", ""), arguments.get("signature", "")
    audience: Audience = "editors" if arguments.get("audience") == "editors" else "all"
    if not signing.verify(link_key(), signature, audience, expires, path):
        raise LinkInvalid
    if int(expires) <= time.time():  # signed, so a number
        raise LinkExpired
    return audience
