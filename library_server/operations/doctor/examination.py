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
from library_server.operations.doctor.findings import Check, findings_of
from library_server.operations.doctor.visits import Address, Answer
from library_server.operations.schema_report import Finding


def examine(url: str, token: str | None = None, replicas: int = 1) -> Iterator[Finding]:
    """Every finding, as it is made. `token`: one that the backend made. Raises NoAddress."""
    address, found, health = answering.reach(Address.of(url))
    yield from found
    checks = [
        *(_of_the_answer(address, health) if health else ()),
        ("PostgreSQL", postgres.answers),
        ("read replica", postgres.replica),
        ("Redis", shared_redis.answers),
        *(_at_the_url(address, health.by_gunicorn) if health else ()),
        *((("given token", partial(signing_in.given_token, token)),) if token is not None else ()),
        ("tables", postgres.schema),
        ("memory of PostgreSQL", postgres.memory),
        ("connections", partial(postgres.connections, replicas)),
        ("memory of Redis", shared_redis.memory),
        ("keys of Redis", shared_redis.keys),
        ("folders", folders.usable),
        ("files and items", folders.matching),
    ]
    for name, check in checks:
        yield from findings_of(name, check)


def _of_the_answer(address: Address, health: Answer) -> Iterator[tuple[str, Check]]:
    yield "health", partial(answering.health, health)
    yield "clock at the URL", partial(signing_in.date, health)
    if address.secure:
        yield "certificate", partial(answering.certificate, address)


def _at_the_url(address: Address, straight: bool) -> Iterator[tuple[str, Check]]:
    """`straight`: no proxy stands between."""
    yield "secret", partial(signing_in.secret, address)
    yield "client addresses", partial(addresses.seen_as, address, straight)
    yield "uploads", partial(uploading.announced, address)
    yield "content files", partial(serving_files.content, address, straight)
    yield "asset files", partial(serving_files.assets, address, straight)
