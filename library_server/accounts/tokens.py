"""Tokens: what the backend's JWTs say, in either of their two spellings. Nothing here asks a server."""

import hashlib
import math
import time
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.utils import base64url_decode, base64url_encode

from library_server.accounts import errors
from library_server.actor import Kind

IAT_LEEWAY_SECONDS = 30
_ID_DIGITS = 18  # more would not be a number of any database
_SPELLINGS_OF_ID = ("user_id", "id", "sub")
_SPELLINGS_OF_KIND = ("user_type", "type")
# The claims' types and times are ours to judge, because PyJWT's messages are not the contract's.
SIGNATURE_ONLY: Any = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
}


@dataclass(frozen=True)
class Claims:
    """What a valid token says: a user and, perhaps, the token's own id and the child's parent."""

    user: int
    kind: Kind
    jti: str | None
    parent_id: int | None


# By the digest of secret and token, so that no token stands in memory.
_KNOWN: dict[bytes, tuple[Claims, dict[str, Any]]] = {}
MOST_KNOWN = 4096


def from_header(header: str | None) -> str:
    """The token of an ``Authorization`` header. Raises TokenMissing or HeaderMalformed."""
    words = (header or "").split()
    if not words:
        raise errors.TokenMissing
    if len(words) != 2 or words[0].lower() != "bearer":
        raise errors.HeaderMalformed
    return words[1]


def verify(token: str, secret: str) -> Claims:
    """The claims of a token signed with `secret` by HS256 (RFC 7519).

    A signature that was found good is not looked at again, its times always are. Raises TokenInvalid (format,
    signature, algorithm, ``nbf``, ``iat``), TokenExpired or ClaimsInvalid.
    """
    known = recall(token, secret)
    if known is not None:
        return known
    payload = _signed(token, secret)
    times = {name: payload[name] for name in ("exp", "nbf", "iat") if payload.get(name) is not None}
    _check_times(times, time.time())
    claims = _claims(payload)
    if len(_KNOWN) >= MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[_digest(token, secret)] = claims, times
    return claims


def recall(token: str, secret: str) -> Claims | None:
    """The claims of a token whose signature was found good before; None for any other. Raises as `verify` does."""
    known = _KNOWN.get(_digest(token, secret))
    if known is None:
        return None
    _check_times(known[1], time.time())
    return known[0]


def _digest(token: str, secret: str) -> bytes:
    return hashlib.sha256(f"{secret} {token}".encode(errors="surrogatepass")).digest()


def _signed(token: str, secret: str) -> dict[str, Any]:
    if not _is_canonical(token):
        raise errors.TokenInvalid
    try:
        payload: dict[str, Any] = jwt.decode(token, secret, algorithms=["HS256"], options=SIGNATURE_ONLY)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise errors.TokenInvalid from None
    return payload


def _claims(payload: dict[str, Any]) -> Claims:
    kind = _agreed([payload[name] for name in _SPELLINGS_OF_KIND if payload.get(name) is not None])
    user = _agreed([_as_id(payload[name]) for name in _SPELLINGS_OF_ID if payload.get(name) is not None])
    if kind not in ("parent", "child") or all(payload.get(name) is None for name in ("user_id", "id")):
        raise errors.ClaimsInvalid
    parent_id = payload.get("parent_id") if kind == "child" else None
    return Claims(user, kind, _as_jti(payload.get("jti")), None if parent_id is None else _as_id(parent_id))


def _is_canonical(token: str) -> bool:
    """Whether the signature is spelt in the one way that base64url has (RFC 4648, section 3.5).

    A revoked token is known by its text; in another spelling, which decodes to the same bytes, it would pass.
    """
    signature = token.rpartition(".")[2]
    try:
        return base64url_encode(base64url_decode(signature)).decode() == signature
    except ValueError:
        return False


def _check_times(times: dict[str, Any], now: float) -> None:
    for value in times.values():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or (isinstance(value, float) and math.isfinite(value))):
            raise errors.ClaimsInvalid
    if "exp" not in times:
        raise errors.ClaimsInvalid
    if times["exp"] <= now:
        raise errors.TokenExpired
    if times.get("nbf", now) > now or times.get("iat", now) > now + IAT_LEEWAY_SECONDS:
        raise errors.TokenInvalid


def _agreed(values: list[Any]) -> Any:
    if not values or any(value != values[0] for value in values):
        raise errors.ClaimsInvalid
    return values[0]


def _as_id(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _ID_DIGITS:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise errors.ClaimsInvalid
    return value


def _as_jti(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise errors.ClaimsInvalid
    try:
        return str(value).encode().decode()
    except ValueError:  # half a surrogate pair, or a number without end: no key of Redis
        raise errors.ClaimsInvalid from None


def mint(user: int, kind: Kind, secret: str, seconds: int) -> str:
    """A token in the guide's spelling, for development and tests."""
    now = int(time.time())
    claims = {"user_id": user, "user_type": kind, "sub": str(user), "iat": now, "exp": now + seconds}
    return jwt.encode(claims, secret, algorithm="HS256")
