"""Whether the server sees the addresses of those who ask, or a proxy's: for whom it counts our refused sign-ins.

Nothing in an answer tells that, and nothing should. The counters are in Redis, which the settings name.
"""

import random
import sys
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import Any

from limits import parse_many

from library_server.config import current_config
from library_server.operations.doctor.findings import fail, fine, warn
from library_server.operations.doctor.visits import Address
from library_server.operations.schema_report import Finding
from library_server.shared.redis import redis
from library_server.web.clients import is_address

NAME = "client addresses"
TIMES = 3  # that we are refused, so that others' refusals are not taken for ours
SCANNED, PAGE = 20_000, 1000
LARGEST_NETWORK = 256
PRETENDED = "192.0.2.{}"  # of TEST-NET-1 (RFC 5737): nobody has it
MEND = (
    "in nginx `proxy_set_header X-Real-IP $remote_addr;` where it passes requests on (deploy/nginx/proxy.conf), "
    "and for the server TRUSTED_PROXIES=<nginx's address or network>."
)

Counter = tuple[int, int, int]  # the window's number, what the one before counted, what this one has


def seen_as(address: Address, straight: bool) -> Iterator[Finding]:
    """For whom the server counts our refusals. `straight`: no proxy stands between."""
    own, peer = address.ends()
    if own == peer and ip_address(own).is_loopback:
        if sys.platform != "linux" or ip_address(own).version != 4:
            yield fine(NAME, "cannot be told from this machine; ask from another one.")
            return
        # All of 127/8 is this machine, so another of it can be told from the proxy on it.
        own = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(2, 254)}"  # noqa: S311 (no secret)
        address = address.asked_from(own)
    proxies = {peer, *_proxies()}
    counted = _counted_for(address, {own, *proxies}, {})
    if straight:
        yield fine(NAME, "the server sees the address of who asks.") if own in counted else _counts_elsewhere(counted)
        return
    pretended = PRETENDED.format(random.randint(1, 254))  # noqa: S311 (no secret)
    if pretended in _counted_for(address, {pretended}, {"X-Real-IP": pretended}):
        told = "the proxy does not tell them, but passes on what anybody pretends: limits can be got round."
        yield fail(NAME, told, MEND)
    elif own in counted:
        yield fine(NAME, "the server sees the address of who asks.")
    else:
        yield _judged(counted, proxies)


def _proxies() -> Iterator[str]:
    """Loopback, and what TRUSTED_PROXIES names, as far as that can be counted."""
    yield from ("127.0.0.1", "::1")
    for entry in current_config().trusted_proxies:
        network = ip_network(entry)
        if network.num_addresses <= LARGEST_NETWORK:
            yield from map(str, network)


def _judged(counted: dict[str, int], proxies: set[str]) -> Finding:
    ours = {who for who, rise in counted.items() if rise >= TIMES}
    if not ours:
        return _counts_elsewhere(counted)
    if ours & proxies:
        told = "the server sees the proxy's instead: everybody shares one limit of failed sign-ins and of files."
        return fail(NAME, told, MEND)
    if any(not ip_address(found).is_global for found in ours):
        told = "the server sees one of a private network, and not ours: a proxy's, unless a NAT is between."
        return warn(NAME, told, MEND)
    return fine(NAME, "the server sees a public address: ours behind a NAT, unless a CDN is between (docs/scaling.md).")


def _counts_elsewhere(counted: dict[str, int]) -> Finding:
    if counted:
        return fine(NAME, "the server sees another address of ours than we do, as behind a NAT.")
    told = "our refused sign-ins are not counted in the Redis of our REDIS_URL."
    mend = "give the server and this command the same REDIS_URL and RATE_LIMIT_ANONYMOUS; look whether Redis is up."
    return warn(NAME, told, mend)


def _counted_for(address: Address, candidates: set[str], headers: dict[str, str]) -> dict[str, int]:
    """By how much each counter rises by our refusals: those of `candidates`, else those that a short scan finds."""
    before = _read(candidates | _some_counted())
    for _ in range(TIMES):
        address.ask("/content/subjects", headers)
    return _risen(before, _read(candidates)) or _risen(before, _read(_some_counted()))


def _risen(before: dict[str, Counter], after: dict[str, Counter]) -> dict[str, int]:
    rises = {who: _rise(before.get(who, (0, 0, 0)), counter) for who, counter in after.items()}
    return {who: rise for who, rise in rises.items() if rise}


def _rise(before: Counter, after: Counter) -> int:
    if after[0] == before[0]:
        return after[2] - before[2]
    if after[0] == before[0] + 1:
        return after[1] - before[2] + after[2]
    return after[2]


def _read(addresses: set[str]) -> dict[str, Counter]:
    batch, limit = redis.batch(), _limit()
    asked = {
        who: batch.add("HMGET", f"rate_limit:ip-{who}:anonymous:{limit}", "window", "before", "count")
        for who in addresses
    }
    return {who: tuple(int(value or 0) for value in reply.get()) for who, reply in asked.items()}  # type: ignore[misc]


def _some_counted() -> set[str]:
    """The addresses of counters among the first SCANNED keys or so."""
    begin, end = "rate_limit:ip-", f":anonymous:{_limit()}"
    pattern = begin + "*" + end
    found: set[str] = set()
    cursor = 0
    for _ in range(SCANNED // PAGE):
        cursor, keys = redis.ask(partial(_page, cursor, pattern))
        found |= {key.decode(errors="replace")[len(begin) : -len(end)] for key in keys}
        if not cursor:
            break
    return {who for who in islice(found, LARGEST_NETWORK) if is_address(who)}


def _page(cursor: int, pattern: str, client: Any) -> tuple[int, list[bytes]]:
    page: tuple[int, list[bytes]] = client.scan(cursor, match=pattern, count=PAGE)
    return page


def _limit() -> str:
    """As keys name the first of RATE_LIMIT_ANONYMOUS's limits."""
    first = parse_many(current_config().rate_limit_anonymous)[0]
    return first.key_for("").removeprefix(f"{first.namespace}/").lstrip("/")
