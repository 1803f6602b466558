"""Signing in: from an ``Authorization`` header to an Actor."""

import math
import re
import time
from dataclasses import dataclass
from typing import Any

from flask import Flask, current_app
from sqlalchemy.exc import DBAPIError, TimeoutError

from library_server.accounts import errors, queries, tokens
from library_server.accounts.queries import User
from library_server.accounts.tokens import Claims
from library_server.actor import Actor
from library_server.config import current_config
from library_server.errors import EditorRequired, ParentRequired, Unavailable
from library_server.extensions import db
from library_server.shared.gate import RedisAway
from library_server.shared.redis import Reply, redis

FRESH_SECONDS = 60  # how long we believe that a user exists
STALE_SECONDS = 600  # the same while PostgreSQL is away
REVOKED_TOKEN, REVOKED_JTIS = "blacklisted_token:", "jwt_blacklist"
MOST_ADMITTED = 4096
_ADMITTED = "library_admitted"
_REMEMBERED = re.compile(rb"(\d{1,12}) (\d{0,18})")  # when, and a child's parent


Revocation = tuple[list[str], list[str]]  # keys in Redis, of the revoked token and of revoked jtis; its jti, if any


@dataclass(frozen=True)
class SignIn:
    """A token that is good by itself; Redis and PostgreSQL are still to be asked."""

    claims: Claims
    revocation: Revocation
    revocations: list[Reply]
    remembered: Reply

    @property
    def caller(self) -> Actor:
        """Who it would be, without any right."""
        return Actor(self.claims.user, self.claims.kind)

    def finish(self) -> Actor:
        """Who sends the token. Raises one of `accounts.errors`; Unavailable when that cannot be told."""
        self._refuse_revoked()
        user, age = _find(self.claims, _told(self.remembered))
        claimed = self.claims.parent_id
        if claimed is not None and user.parent_id is not None and claimed != user.parent_id:
            raise errors.ClaimsInvalid
        _note_admission(self.claims, time.time() - age)
        may_edit = _is_editor(self.claims.user) if self.claims.kind == "parent" else False
        return Actor(self.claims.user, self.claims.kind, may_edit=may_edit)

    def _refuse_revoked(self) -> None:
        for revocation in self.revocations:
            try:
                if revocation.get() == 1:
                    raise errors.TokenRevoked
            except RedisAway:
                if current_config().revocation_required:
                    raise Unavailable from None


def begin(header: str | None) -> SignIn:
    """The sign-in of who sends this ``Authorization`` header. What it asks Redis goes with the next round trip.

    Raises one of `accounts.errors`.
    """
    token = tokens.from_header(header)
    claims = tokens.verify(token, current_config().secret_key)
    batch, revocation = redis.batch(), revocation_of(token, claims.jti)
    revocations = [batch.add(*question) for question in questions(revocation)]
    return SignIn(claims, revocation, revocations, batch.add("GET", _user_key(claims)))


def revocation_of(token: str, jti: str | None) -> Revocation:
    """What `limits.REVOKED` wants to know of a token."""
    return [f"{REVOKED_TOKEN}{token}", REVOKED_JTIS], [] if jti is None else [jti]


def questions(revocation: Revocation) -> list[tuple[str, ...]]:
    """The commands that Redis answers with 1 where the token is revoked."""
    keys, jti = revocation
    return [*(("EXISTS", token) for token in keys[:1]), *(("SISMEMBER", REVOKED_JTIS, one) for one in jti)]


def authenticate(header: str | None) -> Actor:
    """Who sends this header. Raises what `begin` and `SignIn.finish` raise."""
    return begin(header).finish()


def permit_editing(actor: Actor) -> None:
    """Raises ParentRequired or EditorRequired unless `actor` is an editor; Unavailable when that cannot be told."""
    if actor.kind != "parent":
        raise ParentRequired
    if actor.may_edit is None:
        raise Unavailable
    if not actor.may_edit:
        raise EditorRequired


def _user_key(claims: Claims) -> str:
    return f"library:user:{claims.kind}:{claims.user}"


def _told(reply: Reply) -> Any:
    try:
        return reply.get()
    except RedisAway:
        return None


def recall(app: Flask, header: str | None) -> tuple[str, Claims] | None:
    """The token of this ``Authorization`` header, if this process has let it in and it has not ended since.

    Its user was there a minute ago at most. Revocation is not asked.
    """
    try:
        token = tokens.from_header(header)
        claims = tokens.recall(token, app.extensions["library_config"].secret_key)
    except errors.NotSignedIn:
        return None
    seen: float | None = app.extensions.get(_ADMITTED, {}).get(claims)
    if claims is None or seen is None or not 0 <= time.time() - seen <= FRESH_SECONDS:
        return None
    return token, claims


def _note_admission(claims: Claims, seen: float) -> None:
    admitted: dict[Claims, float] = current_app.extensions.setdefault(_ADMITTED, {})
    if len(admitted) >= MOST_ADMITTED:
        admitted.clear()
    admitted[claims] = seen


def _find(claims: Claims, remembered: Any) -> tuple[User, float]:
    """The user, and how many seconds ago it was there."""
    age, user = _recall(remembered)
    if user is not None and age <= FRESH_SECONDS:
        return user, age
    try:
        found = queries.find_user(claims.kind, claims.user)
    except (DBAPIError, TimeoutError):
        db.session.rollback()
        if user is None:
            raise
        return user, age
    if found is None:
        raise errors.UserNotFound
    _remember(claims, found)
    return found, 0


def _recall(remembered: Any) -> tuple[float, User | None]:
    """Age in seconds and user of what `_remember` wrote; anything else in that place counts as nothing."""
    match = _REMEMBERED.fullmatch(remembered) if isinstance(remembered, bytes) else None
    if match is None:
        return math.inf, None
    age = time.time() - int(match[1])
    if not -1 <= age <= STALE_SECONDS:  # written in whole seconds
        return math.inf, None
    return age, User(int(match[2]) if match[2] else None)


def _remember(claims: Claims, user: User) -> None:
    value = f"{int(time.time())} {'' if user.parent_id is None else user.parent_id}"
    redis.batch().add("SET", _user_key(claims), value, "EX", STALE_SECONDS)


def _is_editor(parent: int) -> bool | None:
    """None while PostgreSQL cannot tell whose e-mail it is."""
    entries = current_config().content_editors
    if not entries or str(parent) in entries:
        return True
    emails = frozenset(entry.lower() for entry in entries if "@" in entry)
    editors = _editors_by_email(emails) if emails else frozenset()
    return None if editors is None else parent in editors


def _editors_by_email(emails: frozenset[str]) -> frozenset[int] | None:
    """The ids behind the e-mails of CONTENT_EDITORS, kept in the process: what may be edited is not left to Redis.

    None while PostgreSQL is away, and has been for long.
    """
    kept: tuple[float, frozenset[int]] = current_app.extensions.get("library_editors", (-math.inf, frozenset()))
    age = time.monotonic() - kept[0]
    if age <= FRESH_SECONDS:
        return kept[1]
    try:
        found = queries.parents_with_email(emails)
    except (DBAPIError, TimeoutError):
        db.session.rollback()
        return kept[1] if age <= STALE_SECONDS else None
    current_app.extensions["library_editors"] = (time.monotonic(), found)
    return found
