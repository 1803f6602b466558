"""Where a request comes from."""

from collections.abc import Mapping
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from flask import request

from library_server.config import current_config


def client_address() -> str:
    """The client's address: what a trusted proxy says in ``X-Real-IP``, else the other end of the connection.

    Over a Unix socket there is no address; whoever may open one is trusted.
    """
    return address_of(request.environ, current_config().trusted_proxies)


def address_of(environ: Mapping[str, Any], trusted: tuple[str, ...]) -> str:
    """The same of a WSGI request, whose proxies are `trusted`."""
    return _address(environ.get("REMOTE_ADDR") or "", environ.get("HTTP_X_REAL_IP", "").strip(), trusted)


@lru_cache(1024)
def _address(peer: str, told: str, trusted: tuple[str, ...]) -> str:
    if told and is_address(told) and (not is_address(peer) or _is_in(peer, trusted)):
        return str(_parsed(told))
    return str(_parsed(peer)) if is_address(peer) else peer or "unknown"


def came_straight_from(networks: tuple[str, ...]) -> bool:
    """Whether the other end of the connection is in `networks`, and nobody else is behind it.

    A proxy on this very machine is near, whoever asks it may be far: all that it tells of them must be near, too.
    """
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    told = [request.remote_addr or "", *request.headers.getlist("X-Real-IP")]
    return all(is_address(address) and _is_in(address, networks) for address in told)


def is_address(text: str) -> bool:
    """Whether it is an address of IPv4 or IPv6."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_in(address: str, networks: tuple[str, ...]) -> bool:
    parsed = _parsed(address)
    return any(parsed in network for network in _networks(networks))


def _parsed(address: str) -> IPv4Address | IPv6Address:
    """The address; where a listener for both kinds says ``::ffff:192.0.2.1``, that of IPv4."""
    parsed = ip_address(address)
    return getattr(parsed, "ipv4_mapped", None) or parsed


@cache
def _networks(entries: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(entry) for entry in entries)
