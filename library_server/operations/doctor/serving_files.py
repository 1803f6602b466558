"""Whether files arrive as they are on disk, whole and in parts, by links made with our key."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from urllib.parse import quote

from library_server import storage
from library_server.config import current_config
from library_server.files import queries
from library_server.lib.paths import is_safe
from library_server.operations.doctor.findings import fail, fine, warn
from library_server.operations.doctor.signing_in import SECRET_MEND
from library_server.operations.doctor.visits import Address, Answer
from library_server.operations.schema_report import Finding
from library_server.storage.base import FileMissing, Storage
from library_server.web.files import Tree
from library_server.web.links import file_url
from library_server.web.watch import HEADER

LOOKED_AT = 2000  # files, for one to try
SMALLEST, LARGEST = 16, 1024 * 1024  # bytes of it
NOT_NGINX_ALONE = (".pdf", ".txt", ".json", ".mp4", ".webm", ".svg", ".css")  # so that way 2 is tried (docs/files.md)
FOLDERS_MEND = "mount the same folders for the server, for nginx (its `alias`) and for this command."

ACCEL_MEND = (
    "nginx needs `location /_library/` with an alias to the same folders, which its user can read "
    "(deploy/nginx/library-server.conf)."
)


def content(address: Address, straight: bool) -> Iterator[Finding]:
    """A content file, by a signed link."""
    path = _one_of(storage.content(), lambda path: not queries.is_retired(path))
    if path is None:
        yield fine("content files", "none here to try with.")
        return
    target = file_url(path).removeprefix(current_config().cdn_base_url)
    yield from _tried(address, "content", storage.content(), path, target, straight)


def assets(address: Address, straight: bool) -> Iterator[Finding]:
    """An asset."""
    path = _one_of(storage.assets(), lambda path: True)
    if path is None:
        yield fine("asset files", "none here to try with.")
        return
    yield from _tried(address, "assets", storage.assets(), path, f"/assets/{quote(path)}", straight)


def _one_of(place: Storage, may_be_seen: Callable[[str], bool]) -> str | None:
    """A small file that the server should send."""
    names = [path for path in islice(place.list(), LOOKED_AT) if is_safe(path)]
    for path in sorted(names, key=lambda path: not path.endswith(NOT_NGINX_ALONE)):
        try:
            if SMALLEST <= place.stat(path).size <= LARGEST and may_be_seen(path):
                return path
        except (FileMissing, OSError):  # gone meanwhile, or not ours to read: the check of folders tells
            continue
    return None


def _tried(address: Address, tree: Tree, place: Storage, path: str, target: str, straight: bool) -> Iterator[Finding]:
    name = "content files" if tree == "content" else "asset files"
    with place.open(path) as file:
        data = file.read()
    whole = address.ask(target)
    if "X-Accel-Redirect" in whole.headers:
        yield _names_instead_of_bytes(name, straight)
        return
    if whole.status != 200:
        yield _not_sent(name, whole)
        return
    if not whole.body and current_config().use_x_accel_redirect:
        yield _names_instead_of_bytes(name, straight)
        return
    if hashlib.sha256(whole.body).digest() != hashlib.sha256(data).digest():
        also = f" And {ACCEL_MEND}" if current_config().use_x_accel_redirect else ""
        yield fail(name, "other bytes arrive than the file here has.", FOLDERS_MEND + also)
        return
    first, last = 1, len(data) // 2
    part = address.ask(target, {"Range": f"bytes={first}-{last}"})
    told = (part.status, part.headers.get("Content-Range"), part.body)
    if told == (206, f"bytes {first}-{last}/{len(data)}", data[first : last + 1]):
        yield fine(name, f"arrive as they are on disk, whole and in parts.{_hint(straight)}")
    else:
        said = f"arrive whole, but a part of one is answered by {part.status} and not as asked: players cannot seek."
        mend = "let the proxy pass Range and Content-Range on: no `proxy_set_header Range`, no cache that drops them."
        yield fail(name, said, mend)


def _hint(straight: bool) -> str:
    if straight or current_config().use_x_accel_redirect:
        return ""
    return " A hint: with USE_X_ACCEL_REDIRECT=true nginx would send the bytes itself (docs/files.md)."


def _names_instead_of_bytes(name: str, straight: bool) -> Finding:
    if straight:
        told = "arrive empty: USE_X_ACCEL_REDIRECT=true leaves the bytes to nginx, which is not between."
        return warn(name, told, "ask through nginx; without one, USE_X_ACCEL_REDIRECT=false.")
    told = "arrive empty: USE_X_ACCEL_REDIRECT=true, but the proxy does not send what it is told to."
    return fail(name, told, "set nginx up as deploy/nginx/library-server.conf does, or USE_X_ACCEL_REDIRECT=false.")


def _not_sent(name: str, answer: Answer) -> Finding:
    if answer.status == 403 and answer.message.startswith("Link"):
        return fail(name, f"a link made with our SECRET_KEY is refused ({answer.message}).", SECRET_MEND)
    if answer.status == 404 and HEADER in answer.headers:  # nginx's own answers have the same words
        told = "the server does not find a file that is here."
        return fail(name, told, FOLDERS_MEND)
    if answer.status in (403, 404) and current_config().use_x_accel_redirect:
        told = f"the server gives a file, but nginx does not send it ({answer.status})."
        return fail(name, told, ACCEL_MEND)
    return fail(name, f"a file that is here is answered by {answer.status}.", "look at the logs of proxy and server.")
