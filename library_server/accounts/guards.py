"""Decorators for routes: who may call them. The view finds the caller in `current_actor()`."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import g, request

from library_server.accounts import services
from library_server.actor import Actor

P = ParamSpec("P")
R = TypeVar("R")


def require_user(view: Callable[P, R]) -> Callable[P, R]:
    """Parents and children."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        g.library_actor = services.authenticate(request.headers.get("Authorization"))
        return view(*args, **kwargs)

    return guarded


def require_editor(view: Callable[P, R]) -> Callable[P, R]:
    """Parents who may edit."""

    @require_user
    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        services.permit_editing(current_actor())
        return view(*args, **kwargs)

    return guarded


def current_actor() -> Actor:
    """Who is asking; set by the guards above."""
    actor: Actor = g.library_actor
    return actor
