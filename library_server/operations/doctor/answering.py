"""Who answers at the URL: whether it is us, by which way, and what its health says."""

import socket
import ssl
import time
from collections.abc import Iterator
from http.client import HTTPException
from urllib.parse import urljoin, urlsplit

from library_server.operations.doctor.findings import fail, fine, warn
from library_server.operations.doctor.visits import Address, Answer
from library_server.operations.schema_report import Finding
from library_server.web.health import SERVICE

HEALTH = "/api/content/health"
REDIRECTS = (301, 302, 307, 308)
SOON_SECONDS = 14 * 86_400  # Let's Encrypt's clients renew a month before
ROUTING = "nginx must send ^/(content|assets|api/content) to the Library Server, unchanged (deploy/nginx/)."

_UNHEALTHY = {
    "database": ("PostgreSQL does not answer it", "check DATABASE_URL, and that PostgreSQL runs and lets it in."),
    "replica": ("the replica of PostgreSQL does not answer it", "check DATABASE_READ_URL; the primary answers now."),
    "redis": ("Redis does not answer it", "check REDIS_URL, and that Redis runs; until then all is slower."),
    "content": ("it cannot write its content folder", "give its user CONTENT_STORAGE_PATH, and look at the disk."),
    "uploads": ("it cannot write its uploads folder", "give its user UPLOADS_STORAGE_PATH, and look at the disk."),
    "assets": ("it cannot read its assets folder", "mount ASSETS_STORAGE_PATH, and let its user read it."),
    "migrations": ("its database is of an older release", "run `flask --app wsgi db upgrade`."),
}


def reach(address: Address) -> tuple[Address, list[Finding], Answer | None]:
    """Where the server really is, after a redirect to TLS; what was found; its health, if it is we who answer."""
    name, found = "address", []
    try:
        answer = address.ask(HEALTH)
        if answer.status in REDIRECTS and not address.secure and (secure := _redirected(address, answer)):
            found.append(fine(name, "redirects to TLS."))
            address = secure
            answer = address.ask(HEALTH)
    except ssl.SSLCertVerificationError as error:
        told = f"its certificate is not good: {error.verify_message}."
        mend = "renew it, send the whole chain, or name a CA of your own in SSL_CERT_FILE."
        return address, [*found, fail(name, told, mend)], None
    except (OSError, HTTPException, ValueError) as error:  # the last, of names that cannot be any
        return address, [*found, _unreachable(error)], None
    return address, [*found, *_identify(answer)], answer if _is_us(answer) else None


def _redirected(address: Address, answer: Answer) -> Address | None:
    target = urlsplit(urljoin("http://" + address.host, answer.headers.get("Location", "")))
    if target.scheme != "https" or target.hostname != address.host:
        return None
    return Address(True, address.host, target.port or 443, address.prefix)


def _unreachable(error: Exception) -> Finding:
    name = "address"
    if isinstance(error, socket.gaierror):
        return fail(name, "its name is not found.", "look at the URL and at DNS.")
    if isinstance(error, ConnectionRefusedError):
        return fail(name, "nobody listens there.", "start nginx or the Library Server; look at the port and HOST.")
    if isinstance(error, TimeoutError):
        return fail(name, "no answer within 5 seconds.", "look at firewalls, and at the server's log.")
    if isinstance(error, ssl.SSLError):
        return fail(name, "it does not speak TLS there.", "ask http://, or set up TLS (deploy/nginx/tls.conf).")
    return fail(name, f"no proper answer ({type(error).__name__}).", "look at the URL, and at the server's log.")


def _is_us(answer: Answer) -> bool:
    return answer.json.get("service") == SERVICE


def _identify(answer: Answer) -> Iterator[Finding]:
    name = "address"
    if _is_us(answer):
        way = "straight" if answer.by_gunicorn else "through a proxy"
        yield fine(name, f"the Library Server answers, {way}.")
    elif answer.status in (502, 503, 504):
        told = f"a proxy answers, but not the Library Server behind it ({answer.status})."
        yield fail(name, told, "start the Library Server; look at its address in the proxy's upstream.")
    else:
        yield fail(name, f"somebody else answers ({answer.status}).", ROUTING)


def health(answer: Answer) -> Iterator[Finding]:
    """What the server says of itself, in words."""
    name, checks = "health", answer.json.get("checks") or {}
    bad = {check: told.get("status") for check, told in checks.items() if told.get("status") not in ("ok", "ahead")}
    if not bad:
        yield fine(name, "the server finds itself healthy.")
    for check, status in bad.items():
        told, mend = _UNHEALTHY.get(check, (f"its check {check} fails", "look at its log."))
        said = f"the server says: {told}{' in time' if status == 'slow' else ''}."
        yield (fail if check == "database" else warn)(name, said, mend)


def certificate(address: Address) -> Iterator[Finding]:
    """How long the certificate is good for."""
    connection = address.connect()
    try:
        told = connection.sock.getpeercert()  # type: ignore[union-attr]
    finally:
        connection.close()
    left = ssl.cert_time_to_seconds(told["notAfter"]) - time.time()
    days = f"{left / 86_400:.0f} days"
    if left < SOON_SECONDS:
        yield warn("certificate", f"it ends in {days}.", "renew it, and look why that did not happen by itself.")
    else:
        yield fine("certificate", f"good for {days}.")
