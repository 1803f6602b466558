"""The one function that answers with a file, whichever way its bytes travel."""

from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any, Literal
from urllib.parse import quote
from wsgiref.util import FileWrapper

from flask import Response, request
from werkzeug.http import http_date, parse_date
from werkzeug.wsgi import ClosingIterator

from library_server.config import current_config
from library_server.errors import LibraryError, PreconditionFailed
from library_server.lib import filenames, media_types, ranges
from library_server.lib.ranges import Span
from library_server.storage.base import Stat, Storage
from library_server.web.responses import SAFE_HEADERS

Tree = Literal["content", "assets"]

# Nothing in a file may run or reach out, were it opened as a page of its own. What a browser shows in a player or a
# viewer of its own has no sandbox: it would refuse to.
_SHOW_ONLY = "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; sandbox"
_PLAY = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'"
_SHOW_PDF = "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'"

_WEEK, _YEAR = 7 * 86_400, 365 * 86_400
_BOUNDARY = "library-server-7c1f9be2d4"
_READ_BYTES = 64 * 1024


class RangeNotSatisfiable(LibraryError):
    status, message = 416, "Range not satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__()
        self.headers = {"Content-Range": f"bytes */{size}"}


class FileResponse(Response):
    """A file or a part of it; `from_the_first_byte` where it is delivered from there on: no HEAD, 304 or later part.

    `bytes_by_nginx`: how many nginx sends instead of us; None where it sends none.
    """

    from_the_first_byte = False
    bytes_by_nginx: int | None = None


def file_response(tree: Tree, storage: Storage, path: str, attachment: str | None = None) -> FileResponse:
    """The file as the request's method, conditions and ranges want it (RFC 9110, sections 13 and 14).

    With USE_X_ACCEL_REDIRECT the answer to a GET names the file, and nginx sends it or the ranges of it. Raises
    FileMissing, PreconditionFailed, RangeNotSatisfiable.
    """
    stat = storage.stat(path)
    headers = file_headers(tree, path, stat, attachment)
    if _evaluate(headers["ETag"], stat.modified) == 304:
        kept = ("ETag", "Last-Modified", "Cache-Control", "Accept-Ranges", "X-Content-Type-Options", "Referrer-Policy")
        return FileResponse(status=304, headers={name: headers[name] for name in kept})
    spans = _spans(headers["ETag"], stat)
    if request.method == "HEAD":
        response = FileResponse(status=200, headers=headers | {"Content-Length": str(stat.size)})
    elif current_config().use_x_accel_redirect and _nginx_agrees(spans):
        response = FileResponse(status=200, headers=nginx_headers(tree, path, headers, whole=spans is None))
        response.bytes_by_nginx = spans[0].stop - spans[0].start if spans else stat.size
    else:
        response = _send(storage.open(path), headers, stat.size, spans)
    response.from_the_first_byte = request.method == "GET" and (spans is None or spans[0].start == 0)
    return response


def nginx_headers(tree: Tree, path: str, headers: Mapping[str, str], whole: bool) -> dict[str, str]:
    """What tells nginx to send the file, under `headers`: the `whole` file, or the range that is asked for."""
    left_out = "Accept-Ranges" if whole else ""  # nginx says it with a whole file, and not with a part
    told = {name: value for name, value in headers.items() if name != left_out}
    return told | {"X-Accel-Redirect": f"/_library/{tree}/{quote(path)}"}


def file_headers(tree: Tree, path: str, stat: Stat, attachment: str | None = None) -> dict[str, str]:
    """The headers of the file, whoever sends it."""
    extension = filenames.extension(path)
    types = media_types.ASSET_TYPES if tree == "assets" else media_types.CONTENT_TYPES
    media_type = types.get(extension, media_types.UNKNOWN)
    headers = {
        "Content-Type": media_type,
        "ETag": f'"{stat.modified:x}-{stat.size:x}"',  # nginx's own form, so that both ways give the same
        "Last-Modified": http_date(stat.modified),
        "Accept-Ranges": "bytes",
        # a download has the address of its item, which may come to have another file
        "Cache-Control": _caching(tree, path) if attachment is None else "private, no-cache",
        **SAFE_HEADERS,
        "Content-Security-Policy": _policy(media_type),
    }
    if tree == "content":
        headers["Cross-Origin-Resource-Policy"] = "same-site"
    if attachment is not None:
        headers["Content-Disposition"] = attachment
    elif media_type == media_types.UNKNOWN:
        headers["Content-Disposition"] = "attachment"
    return headers


def _policy(media_type: str) -> str:
    if media_type == "application/pdf":
        return _SHOW_PDF
    return _PLAY if media_type.startswith(("audio/", "video/")) else _SHOW_ONLY


def _caching(tree: Tree, path: str) -> str:
    whose = "public" if tree == "assets" else "private"
    if filenames.DIGEST.search(path):
        return f"{whose}, max-age={_YEAR}, immutable"
    return f"{whose}, max-age={_WEEK}" if tree == "assets" else "private, no-cache"


def _evaluate(etag: str, modified: int) -> int:
    """The status that the preconditions lead to, in the order of RFC 9110, section 13.2.2."""
    bare = etag.strip('"')
    if "If-Match" in request.headers:
        if not (request.if_match.star_tag or request.if_match.is_strong(bare)):
            raise PreconditionFailed("Precondition failed")
    elif (unmodified := _date("If-Unmodified-Since")) is not None and modified > unmodified:
        raise PreconditionFailed("Precondition failed")
    if "If-None-Match" in request.headers:
        return 304 if request.if_none_match.star_tag or request.if_none_match.contains_weak(bare) else 200
    since = _date("If-Modified-Since")
    return 304 if since is not None and modified <= since else 200


def _date(header: str) -> float | None:
    """The date in a header, in seconds since 1970; None for none and for one that is no date."""
    try:
        date = parse_date(request.headers.get(header))
        return date.timestamp() if date else None
    except (ValueError, OverflowError):
        return None


def _spans(etag: str, stat: Stat) -> list[Span] | None:
    if request.method != "GET" or not _range_still_counts(etag, stat.modified):
        return None
    try:
        return ranges.parse(request.headers.get("Range"), stat.size)
    except ranges.Unsatisfiable:
        raise RangeNotSatisfiable(stat.size) from None


def _nginx_agrees(spans: list[Span] | None) -> bool:
    """Whether nginx sends what we would. It counts a date beside If-Match, and more ranges than we do."""
    ranges_agree = len(spans) == 1 if spans else "Range" not in request.headers
    return ranges_agree and not ("If-Match" in request.headers and "If-Unmodified-Since" in request.headers)


def _range_still_counts(etag: str, modified: int) -> bool:
    """``If-Range`` by the strong comparison of RFC 9110, section 13.1.5: the very tag, or the very date."""
    condition = request.headers.get("If-Range", "").strip()
    if not condition or condition == etag:
        return True
    return _date("If-Range") == modified


def _send(file: BufferedReader, headers: Mapping[str, str], size: int, spans: list[Span] | None) -> FileResponse:
    if spans is None:
        return _respond(_Part(file, Span(0, size)), 200, headers, size)
    if len(spans) == 1:
        span = spans[0]
        headers = {**headers, "Content-Range": f"bytes {span.start}-{span.stop - 1}/{size}"}
        return _respond(_Part(file, span), 206, headers, span.stop - span.start)
    heads = [_part_head(headers["Content-Type"], span, size) for span in spans]
    length = sum(len(head) + span.stop - span.start for head, span in zip(heads, spans, strict=True)) + len(_END)
    response = _respond(ClosingIterator(_multipart(file, heads, spans), file.close), 206, headers, length)
    response.headers["Content-Type"] = f"multipart/byteranges; boundary={_BOUNDARY}"
    return response


def _respond(body: Any, status: int, headers: Mapping[str, str], length: int) -> FileResponse:
    if isinstance(body, _Part):  # the server's own wrapper: gunicorn's sends the bytes by sendfile
        body = request.environ.get("wsgi.file_wrapper", FileWrapper)(body, _READ_BYTES)
    response = FileResponse(body, status, direct_passthrough=True)
    response.headers.clear()
    response.headers.update({**headers, "Content-Length": str(length)})
    return response


class _Part:
    """A file that begins and ends with a span of another."""

    def __init__(self, file: BufferedReader, span: Span) -> None:
        self._file, self._left = file, span.stop - span.start
        file.seek(span.start)
        self.fileno, self.close = file.fileno, file.close

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


_END = f"\r\n--{_BOUNDARY}--\r\n".encode()


def _part_head(media_type: str, span: Span, size: int) -> bytes:
    content_range = f"Content-Range: bytes {span.start}-{span.stop - 1}/{size}"
    return f"\r\n--{_BOUNDARY}\r\nContent-Type: {media_type}\r\n{content_range}\r\n\r\n".encode()


def _multipart(file: BufferedReader, heads: list[bytes], spans: list[Span]) -> Iterator[bytes]:
    for head, span in zip(heads, spans, strict=True):
        yield head
        part = _Part(file, span)
        while data := part.read(_READ_BYTES):
            yield data
    yield _END
