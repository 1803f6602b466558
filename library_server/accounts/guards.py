"""Decorators for routes: who may call them, and how often. The view finds the caller in `current_actor()`."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import g, request

from library_server.accounts import services
from library_server.accounts.errors import REFUSALS, NotSignedIn
from library_server.accounts.limits import Shared, count_refusal, limited
from library_server.actor import Actor
from library_server.errors import EditorRequired, ParentRequired

P = ParamSpec("P")
R = TypeVar("R")


def require_user(view: Callable[P, R]) -> Callable[P, R]:
    """Parents and children, within RATE_LIMIT_DEFAULT for this route."""
    return _open_to_users(_guarded(view, None), None)


def require_user_within(shared: Shared) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The same within a limit that several routes share."""
    return lambda view: _open_to_users(_guarded(view, shared), shared)


def require_editor(view: Callable[P, R]) -> Callable[P, R]:
    """Parents who may edit."""
    return _guarded(_editors_only(view), None)


def require_editor_within(shared: Shared) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The same within a limit that several routes share."""
    return lambda view: _guarded(_editors_only(view), shared)


def sign_in() -> Actor:
    """Who is asking, for a view that takes other proofs too. Raises as `services.authenticate` does."""
    begun = _begin()
    g.library_caller = begun.caller
    return _finish(begun)


def current_actor() -> Actor:
    """Who is asking; set by the guards above."""
    actor: Actor = g.library_actor
    return actor


def _guarded(view: Callable[P, R], shared: Shared | None) -> Callable[P, R]:
    """The limit is asked between the two halves of signing in, so that Redis answers both in one round trip."""
    prefetch = getattr(view, "library_prefetch", None)  # what `web.caching` wants to travel along

    @limited(shared)
    @wraps(view)
    def admitted(*args: P.args, **kwargs: P.kwargs) -> R:
        _finish(g.library_sign_in)
        return view(*args, **kwargs)

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        begun = g.library_sign_in = _begin()
        g.library_caller, g.library_revocation = begun.caller, begun.revocation
        if prefetch is not None:
            prefetch(**kwargs)
        return admitted(*args, **kwargs)

    guarded.library_fails = (*getattr(view, "library_fails", ()), *REFUSALS)  # type: ignore[attr-defined]
    return guarded


def _open_to_users(view: Callable[P, R], shared: Shared | None) -> Callable[P, R]:
    """Says that whoever is signed in may have the answer, within this limit (`lane` asks)."""
    view.library_limit = shared or "default"  # type: ignore[attr-defined]
    return view


def _editors_only(view: Callable[P, R]) -> Callable[P, R]:
    @wraps(view)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        services.permit_editing(current_actor())
        return view(*args, **kwargs)

    checked.library_fails = (ParentRequired, EditorRequired)  # type: ignore[attr-defined]  # for the API's description
    return checked


def _begin() -> services.SignIn:
    try:
        return services.begin(request.headers.get("Authorization"))
    except NotSignedIn:
        count_refusal()
        raise


def _finish(begun: services.SignIn) -> Actor:
    try:
        g.library_actor = begun.finish()
    except NotSignedIn:
        g.library_caller, g.library_revocation = None, ([], [])
        count_refusal()
        raise
    return current_actor()
