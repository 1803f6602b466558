"""Why a token does not sign anybody in: the contract's sentences."""

from collections.abc import Mapping

from library_server.errors import LibraryError


class NotSignedIn(LibraryError):
    status = 401
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class TokenMissing(NotSignedIn):
    message = "Authentication token is missing"


class HeaderMalformed(NotSignedIn):
    message = "Invalid authorization header format"


class TokenExpired(NotSignedIn):
    message = "Token has expired"


class TokenInvalid(NotSignedIn):
    message = "Token is invalid"


class TokenRevoked(NotSignedIn):
    message = "Token has been revoked"


class ClaimsInvalid(NotSignedIn):
    message = "Invalid token structure"


class UserNotFound(NotSignedIn):
    message = "User not found"


REFUSALS = (TokenMissing, HeaderMalformed, TokenExpired, TokenInvalid, TokenRevoked, ClaimsInvalid, UserNotFound)
