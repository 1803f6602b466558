"""Whether tokens are accepted: the secret, the clocks, a token that the backend made."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import jwt

from library_server.accounts import errors, queries, tokens
from library_server.accounts.services import REVOKED_JTIS
from library_server.accounts.tokens import IAT_LEEWAY_SECONDS, Claims
from library_server.config import current_config
from library_server.operations.doctor.findings import fail, fine, warn
from library_server.operations.doctor.visits import Address, Answer
from library_server.operations.schema_report import Finding
from library_server.shared.redis import redis

NOBODY = 10**18 - 1  # the highest id that a token may name; no database has it
WARN_SECONDS, FAIL_SECONDS = 5.0, 30.0
SECRET_MEND = "give the server and this command the backend's SECRET_KEY, and restart the server."  # noqa: S105
CLOCK_MEND = "let every machine keep its time by NTP (timedatectl set-ntp true)."


def secret(address: Address) -> Iterator[Finding]:
    """Whether the server accepts what our SECRET_KEY signs: nobody's token then fails by its user alone.

    Its clock is told from another one that was made now and ends soon.
    """
    now = time.time()
    lasting = address.ask("/content/subjects", _bearer({"exp": int(now) + 86_400}))
    if lasting.message != errors.UserNotFound.message:
        yield _refused(lasting)
        return
    yield fine("secret", "the server accepts tokens made with our SECRET_KEY.")
    now = time.time()
    short = {"iat": int(now), "exp": int(now + FAIL_SECONDS) + 1}
    answer = address.ask("/content/subjects", _bearer(short))
    if answer.message == errors.TokenExpired.message:
        told = "the server's clock is more than 30 s ahead of ours: tokens end too early."
        yield fail("token times", told, CLOCK_MEND)
    elif answer.message == errors.TokenInvalid.message:
        told = "the server's clock is more than 30 s behind ours: it refuses new tokens."
        yield fail("token times", told, CLOCK_MEND)
    else:
        yield fine("token times", "a token made now is accepted now.")


def _bearer(claims: dict[str, int]) -> dict[str, str]:
    token = jwt.encode({"user_id": NOBODY, "user_type": "parent"} | claims, current_config().secret_key, "HS256")
    return {"Authorization": f"Bearer {token}"}


def _refused(answer: Answer) -> Finding:
    if answer.message == errors.TokenInvalid.message:
        return fail("secret", "the server refuses tokens made with our SECRET_KEY: it has another.", SECRET_MEND)
    if answer.message == errors.TokenMissing.message:
        told = "the token does not reach the server: a proxy keeps the header Authorization."
        return fail(
            "secret", told, "let the proxy pass it on (no `proxy_set_header Authorization`, no auth of its own)."
        )
    if answer.status == 429:
        return warn("secret", "too many sign-ins have failed from here (429).", "wait a minute.")
    told = f"the server does not say whether it accepts our token ({answer.status} {answer.message[:60]})."
    return warn("secret", told, "mend what its health and its clock say, then ask again.")


def given_token(token: str) -> Iterator[Finding]:
    """What the server would say of a token that the backend made, and why; it is not sent anywhere."""
    name, token = "given token", token.strip()
    token = token[7:].strip() if token[:7].lower() == "bearer " else token
    try:
        claims = tokens.verify(token, current_config().secret_key)
    except errors.TokenExpired:
        told = "signed with our SECRET_KEY, but it has expired."
        yield fail(name, told, "sign in anew; if it is new, compare the clocks and the backend's lifetime of tokens.")
    except errors.ClaimsInvalid:
        told = "signed with our SECRET_KEY, but its claims are not those of a user."
        mend = "they must be `user_id` and `user_type`, or `id` and `type`, and `exp`; what is there twice must agree."
        yield fail(name, told, mend)
    except errors.TokenInvalid:
        yield _why_invalid(name, token)
    else:
        yield _who(name, token, claims)


def _why_invalid(name: str, token: str) -> Finding:
    try:
        algorithm = jwt.get_unverified_header(token).get("alg")
    except (jwt.InvalidTokenError, ValueError):
        return fail(name, "it is no JWT.", "give the `access_token` of the backend's login, whole.")
    if algorithm != "HS256":
        return fail(name, "it is not signed by HS256.", "set ALGORITHM=HS256 in the backend.")
    try:
        claims = jwt.decode(token, current_config().secret_key, algorithms=["HS256"], options=tokens.SIGNATURE_ONLY)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return fail(name, "the backend signs with another SECRET_KEY than ours.", SECRET_MEND)
    made = claims.get("iat")
    if isinstance(made, int | float) and made > time.time() + IAT_LEEWAY_SECONDS:
        told = f"it was made {made - time.time():.0f} s from now: the backend's clock is ahead of this one."
        return fail(name, told, CLOCK_MEND)
    return fail(name, "it is not valid yet, or written in an odd way.", "compare the clocks, and give it whole.")


def _who(name: str, token: str, claims: Claims) -> Finding:
    batch = redis.batch()
    asked = [batch.add("EXISTS", f"blacklisted_token:{token}")]
    if claims.jti is not None:
        asked.append(batch.add("SISMEMBER", REVOKED_JTIS, claims.jti))
    if any(reply.get() == 1 for reply in asked):
        return fail(name, "the backend has revoked it.", "sign in anew.")
    user = queries.find_user(claims.kind, claims.user)
    if user is None:
        told = f"good, but there is no such {claims.kind} in our database."
        return fail(name, told, "give both servers the same DATABASE_URL.")
    if claims.parent_id is not None and user.parent_id is not None and claims.parent_id != user.parent_id:
        return fail(name, "it names another parent than the child's.", "sign in anew; look at the child's parent_id.")
    return fine(name, f"good: a {claims.kind} of our database.")


def date(answer: Answer) -> Iterator[Finding]:
    """The clock of who answers: nginx's, where one stands before the server."""
    try:
        told = parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
    except ValueError:
        yield warn("clock at the URL", "its answers have no Date.", "let the proxy pass it on, or set its own.")
        return
    yield compare("clock at the URL", told + 0.5, answer.at)  # it was cut to whole seconds


def compare(name: str, theirs: float, ours: float) -> Finding:
    """Two clocks, each in seconds since 1970."""
    off = theirs - ours
    told = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the clock of this machine."
    if abs(off) > FAIL_SECONDS:
        return fail(name, told, CLOCK_MEND)
    if abs(off) > WARN_SECONDS:
        return warn(name, told, CLOCK_MEND)
    return fine(name, "like that of this machine.")
