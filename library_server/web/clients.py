"""Where a request comes from."""

from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from flask import request

from library_server.config import current_config


def client_address() -> str:
    """The client's address: what a trusted proxy says in ``X-Real-IP``, else the other end of the connection.

    Over a Unix socket there is no address; whoever may open one is trusted.
    """
    peer = request.remote_addr or ""
    told = request.headers.get("X-Real-IP", "").strip()
    if told and _is_address(told) and (not _is_address(peer) or _is_trusted(peer)):
        return str(ip_address(told))
    return peer or "unknown"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_trusted(peer: str) -> bool:
    address = ip_address(peer)
    return any(address in network for network in _networks(current_config().trusted_proxies))


@cache
def _networks(entries: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(entry) for entry in entries)
