"""Signing in: from an ``Authorization`` header to an Actor."""

import math
import time
from typing import Any

from flask import current_app
from sqlalchemy.exc import DBAPIError, TimeoutError

from library_server.accounts import errors, queries, tokens
from library_server.accounts.queries import User
from library_server.accounts.tokens import Claims
from library_server.actor import Actor
from library_server.config import current_config
from library_server.errors import EditorRequired, ParentRequired, Unavailable
from library_server.extensions import db
from library_server.lib import json
from library_server.shared.redis import RedisAway, redis

FRESH_SECONDS = 60  # how long we believe that a user exists
STALE_SECONDS = 600  # the same while PostgreSQL is away
REVOKED_JTIS = "jwt_blacklist"


def authenticate(header: str | None) -> Actor:
    """Who sends this ``Authorization`` header.

    Raises one of `accounts.errors`; Unavailable when the answer needs a server that is away.
    """
    token = tokens.from_header(header)
    claims = tokens.verify(token, current_config().secret_key)
    remembered = _ask_redis(token, claims)
    user = _find(claims, remembered)
    if claims.parent_id is not None and user.parent_id is not None and claims.parent_id != user.parent_id:
        raise errors.ClaimsInvalid
    return Actor(claims.user, claims.kind, may_edit=claims.kind == "parent" and _is_editor(claims.user))


def permit_editing(actor: Actor) -> None:
    """Raises ParentRequired or EditorRequired unless `actor` is an editor."""
    if actor.kind != "parent":
        raise ParentRequired
    if not actor.may_edit:
        raise EditorRequired


def _user_key(claims: Claims) -> str:
    return f"library:user:{claims.kind}:{claims.user}"


def _ask_redis(token: str, claims: Claims) -> Any:
    """What Redis remembers of the user. Raises TokenRevoked; Unavailable where revocation must be asked and can't."""

    def both(client: Any) -> list[Any]:
        pipeline = client.pipeline(transaction=False)
        pipeline.exists(f"blacklisted_token:{token}")
        if claims.jti is not None:
            pipeline.sismember(REVOKED_JTIS, claims.jti)
        pipeline.get(_user_key(claims))
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers

    try:
        *revocations, remembered = redis.ask(both)
    except RedisAway:
        revocations, remembered = [RedisAway()], None
    if any(answer == 1 for answer in revocations):
        raise errors.TokenRevoked
    if current_config().revocation_required and any(isinstance(answer, Exception) for answer in revocations):
        raise Unavailable
    return remembered


def _find(claims: Claims, remembered: Any) -> User:
    age, user = _recall(remembered)
    if user is not None and age <= FRESH_SECONDS:
        return user
    try:
        found = queries.find_user(claims.kind, claims.user)
    except (DBAPIError, TimeoutError):
        db.session.rollback()
        if user is None:
            raise
        return user
    if found is None:
        raise errors.UserNotFound
    _remember(claims, found)
    return found


def _recall(remembered: Any) -> tuple[float, User | None]:
    """Age in seconds and user of what `_remember` wrote; anything else in that place counts as nothing."""
    try:
        at, parent_id = json.decode(remembered)
        age = time.time() - at
    except (ValueError, TypeError, OverflowError):
        return math.inf, None
    if not 0 <= age <= STALE_SECONDS or not isinstance(parent_id, int | None):
        return math.inf, None
    return age, User(parent_id)


def _remember(claims: Claims, user: User) -> None:
    value = json.encode([time.time(), user.parent_id])
    try:
        redis.ask(lambda client: client.set(_user_key(claims), value, ex=STALE_SECONDS))
    except RedisAway:
        return


def _is_editor(parent: int) -> bool:
    entries = current_config().content_editors
    if not entries or str(parent) in entries:
        return True
    emails = frozenset(entry.lower() for entry in entries if "@" in entry)
    return bool(emails) and parent in _editors_by_email(emails)


def _editors_by_email(emails: frozenset[str]) -> frozenset[int]:
    """The ids behind the e-mails of CONTENT_EDITORS, kept in the process: what may be edited is not left to Redis."""
    kept: tuple[float, frozenset[int]] = current_app.extensions.get("library_editors", (-math.inf, frozenset()))
    age = time.monotonic() - kept[0]
    if age <= FRESH_SECONDS:
        return kept[1]
    try:
        found = queries.parents_with_email(emails)
    except (DBAPIError, TimeoutError):
        db.session.rollback()
        if age > STALE_SECONDS:
            raise
        return kept[1]
    current_app.extensions["library_editors"] = (time.monotonic(), found)
    return found
