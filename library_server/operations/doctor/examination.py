"""All checks, one after the other, as the guide's troubleshooting goes."""

from collections.abc import Iterator
from functools import partial

from library_server.operations.doctor import (
    addresses,
    answering,
    folders,
    postgres,
    serving_files,
    shared_redis,
    signing_in,
    uploading,
)
from library_server.operations.doctor.findings import Check, findings_of, fine
from library_server.operations.doctor.visits import Address, Answer
from library_server.operations.schema_report import Finding


def examine(url: str, token: str | None = None, replicas: int = 1) -> Iterator[Finding]:
    """Every finding, as it is made. `token`: one that the backend made. Raises NoAddress."""
    address, found, health = answering.reach(Address.of(url))
    yield from found
    for name, check in _at_the_url(address, health):
        yield from findings_of(name, check)
    if health is None:
        yield fine("server", "not asked any more; what follows is about what the settings name.")
    for name, check in _behind_it(token, replicas):
        yield from findings_of(name, check)


def _at_the_url(address: Address, health: Answer | None) -> Iterator[tuple[str, Check]]:
    if health is None:
        return
    straight = health.by_gunicorn
    yield "health", partial(answering.health, health)
    if address.secure:
        yield "certificate", partial(answering.certificate, address)
    yield "clock at the URL", partial(signing_in.date, health)
    yield "secret", partial(signing_in.secret, address)
    yield "client addresses", partial(addresses.seen_as, address, straight)
    yield "uploads", partial(uploading.announced, address)
    yield "content files", partial(serving_files.content, address, straight)
    yield "asset files", partial(serving_files.assets, address, straight)


def _behind_it(token: str | None, replicas: int) -> Iterator[tuple[str, Check]]:
    if token is not None:
        yield "given token", partial(signing_in.given_token, token)
    yield "PostgreSQL", postgres.answers
    yield "tables", postgres.schema
    yield "connections", partial(postgres.connections, replicas)
    yield "Redis", shared_redis.answers
    yield "memory of Redis", shared_redis.memory
    yield "keys of Redis", shared_redis.keys
    yield "folders", folders.usable
    yield "files and items", folders.matching
