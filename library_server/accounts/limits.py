"""How often one user, or one address, may call a route."""

from collections.abc import Callable
from typing import Literal, ParamSpec, TypeVar

from flask import g

from library_server.actor import Actor
from library_server.config import current_config
from library_server.extensions import limiter
from library_server.web.clients import client_address

Shared = Literal["search", "upload", "files", "anonymous"]

P = ParamSpec("P")
R = TypeVar("R")


def limited(shared: Shared | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: each call counts against RATE_LIMIT_DEFAULT for its route, or against the `shared` limit.

    Raises Flask-Limiter's RateLimitExceeded.
    """
    setting = f"rate_limit_{shared or 'default'}"

    def told() -> str:
        return str(getattr(current_config(), setting))

    if shared is None:
        decorate = limiter.limit(told, key_func=caller)
    else:
        decorate = limiter.shared_limit(told, scope=shared, key_func=caller)

    def mark(view: Callable[P, R]) -> Callable[P, R]:
        made: Callable[P, R] = decorate(view)
        return made

    return mark


def caller() -> str:
    """Whom a limit counts for, as keys name them: ``12``, ``child-12`` or ``ip-<address>``."""
    actor: Actor | None = g.get("library_caller")
    return actor.user_id if actor else f"ip-{client_address()}"


@limited("anonymous")
def count_refusal() -> None:
    """Counts a failed sign-in, for the address it came from."""
