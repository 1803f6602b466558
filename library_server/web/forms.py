"""Forms with a file: its bytes go straight into a folder, hashed and measured on the way."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from flask import request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from library_server.errors import BodyTooLarge, InvalidInput
from library_server.extensions import db

PREFIX = "upload-"
FORM_BROKEN = "The form is broken or incomplete; send multipart/form-data"
_ROOM_FOR_FIELDS = 1024 * 1024  # what a form may hold beside its file
_MAX_PARTS = 20
_DISCARD_AT_MOST = 64 * 1024 * 1024
_DISCARD_BYTES = 64 * 1024
_READ_BYTES = 1024 * 1024  # in the parser's own pieces of 64 KiB gunicorn copies what it holds for each


class FileTooLarge(BodyTooLarge):
    message = "File too large"


class Spool:
    """A file in the making. It refuses to grow past `limit` bytes, by FileTooLarge."""

    def __init__(self, folder: Path, limit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=PREFIX, dir=folder)
        self._file, self.path = os.fdopen(descriptor, "w+b"), Path(name)
        self._limit, self.size, self.sha256 = limit, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if self.size > self._limit:
            raise FileTooLarge
        self.sha256.update(data)
        return self._file.write(data)

    def seek(self, *position: int) -> int:
        """The form parser's last word on a part: by then all of it must be in the file."""
        self._file.flush()
        return self._file.seek(*position)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()

    def discard(self) -> None:
        """Removes the file."""
        try:
            self._file.close()
        except OSError:
            pass  # a full disk may refuse what is still buffered; the file goes all the same
        finally:
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Form:
    """The fields of a form, and the file in its part `file`; `filename` is None where there is no such part."""

    fields: Mapping[str, str]
    filename: str | None
    spool: Spool | None


@contextmanager
def receive_form(folder: Path, largest_file: int) -> Iterator[Form]:
    """The request's ``multipart/form-data``, its files in `folder` until the end of the context.

    A request in another form has neither fields nor file. Raises FileTooLarge, InvalidInput, OSError from the disk.
    """
    spools: list[Spool] = []
    db.session.rollback()  # no transaction stays open while a client sends, as slowly as it likes

    def open_spool(*_: object, **__: object) -> Spool:
        spools.append(Spool(folder, largest_file))
        return spools[-1]

    parser = FormDataParser(
        open_spool,  # type: ignore[arg-type]  # as much of a file as the parser uses
        max_form_memory_size=_ROOM_FOR_FIELDS,
        max_form_parts=_MAX_PARTS,
        silent=False,
    )
    try:
        yield _parse(parser, largest_file) if request.mimetype == "multipart/form-data" else Form({}, None, None)
    finally:
        for spool in spools:
            spool.discard()


def _parse(parser: FormDataParser, largest_file: int) -> Form:
    request.max_content_length = largest_file + _ROOM_FOR_FIELDS
    try:
        body = BufferedReader(request.stream, _READ_BYTES)  # type: ignore[type-var]
        _, fields, files = parser.parse(body, request.mimetype, request.content_length, dict(request.mimetype_params))
    except (RequestEntityTooLarge, FileTooLarge):
        _discard_rest()
        raise FileTooLarge from None
    except (ValueError, HTTPException, ParseException):  # the last is gunicorn's, of broken chunks
        raise InvalidInput(FORM_BROKEN) from None
    part = files.get("file")
    spool = part.stream if part is not None else None
    return Form(fields, part.filename or "" if part is not None else None, spool)  # type: ignore[arg-type]


def _discard_rest() -> None:
    """Reads on for a while, because a client that is still sending does not see an answer before it is done."""
    source, left = request.environ["wsgi.input"], _DISCARD_AT_MOST
    with suppress(OSError, ParseException):  # a client that goes, or breaks its chunks, needs no answer
        while left > 0 and (data := source.read(min(_DISCARD_BYTES, left))):
            left -= len(data)
