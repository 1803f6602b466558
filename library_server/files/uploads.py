"""Receiving an upload: the form's file goes straight to UPLOADS_STORAGE_PATH, hashed and measured on the way."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from library_server.catalog.schemas import ContentDraft
from library_server.config import current_config
from library_server.errors import FieldProblem, InvalidInput
from library_server.files.errors import DiskFull, FileTooLarge, NoFileProvided, NoFileSelected, TypeNotAllowed
from library_server.lib import filenames, json
from library_server.lib.media_types import CONTENT_TYPES
from library_server.web.inputs import from_object

PREFIX = "upload-"
_ROOM_FOR_FIELDS = 1024 * 1024  # what a form may hold beside its file
_MAX_PARTS = 20
_DISCARD_AT_MOST = 64 * 1024 * 1024
_DISCARD_BYTES = 64 * 1024
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REQUIRED_FOR_AN_ITEM = ("content_type", "subject_area", "age_range")


@dataclass(frozen=True)
class Received:
    """A file that waits in UPLOADS_STORAGE_PATH. `extension` is one of those allowed."""

    path: Path
    original_filename: str
    extension: str
    size: int
    sha256: str


@contextmanager
def receive() -> Iterator[tuple[Received, dict[str, Any] | None]]:
    """The request's file, and the columns of the item that it describes (None where it describes none).

    The file is removed at the end; who wants to keep it links it elsewhere. Raises errors of `files.errors`, and
    InvalidInput for the fields.
    """
    folder = Path(current_config().uploads_storage_path)
    spools: list[_Spool] = []

    def open_spool(*_: object, **__: object) -> Any:
        spools.append(_Spool(folder, current_config().max_upload_size))
        return spools[-1]

    try:
        form, files = _parse(open_spool)
        draft = _draft(form)
        part = files.get("file")
        if part is None:
            raise NoFileProvided
        if not part.filename:
            raise NoFileSelected
        extension = filenames.extension(part.filename)
        if extension not in CONTENT_TYPES:
            raise TypeNotAllowed
        spool: _Spool = part.stream
        name = part.filename.replace("\\", "/").rpartition("/")[2]
        yield Received(spool.path, name, extension, spool.size, spool.sha256.hexdigest()), draft
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull from None
        raise
    finally:
        for spool in spools:
            spool.discard()


def _parse(open_spool: Any) -> tuple[Any, Any]:
    config = current_config()
    if request.mimetype != "multipart/form-data":
        raise NoFileProvided
    request.max_content_length = config.max_upload_size + _ROOM_FOR_FIELDS
    parser = FormDataParser(open_spool, max_form_memory_size=_ROOM_FOR_FIELDS, max_form_parts=_MAX_PARTS, silent=False)
    try:
        _, form, files = parser.parse(
            request.stream, request.mimetype, request.content_length, dict(request.mimetype_params)
        )
    except (RequestEntityTooLarge, FileTooLarge):
        _discard_rest()
        raise FileTooLarge from None
    except (ValueError, HTTPException):
        raise InvalidInput("The form is broken or incomplete; send multipart/form-data") from None
    return form, files


def _discard_rest() -> None:
    """Reads on for a while, because a client that is still sending does not see an answer before it is done."""
    source, left = request.environ["wsgi.input"], _DISCARD_AT_MOST
    while left > 0 and (data := source.read(min(_DISCARD_BYTES, left))):
        left -= len(data)


def _draft(form: Any) -> dict[str, Any] | None:
    """The columns of the item; the contract's fields only, others are let pass as browsers send buttons along."""
    given = {name: value for name, value in form.items() if name in replies_fields() and value.strip()}
    named = [name for name in _REQUIRED_FOR_AN_ITEM if name in given]
    if not named:
        return None
    return from_object(ContentDraft, {name: _value(name, value.strip()) for name, value in given.items()}).values()


def replies_fields() -> frozenset[str]:
    """The fields of the form beside its file."""
    return frozenset(ContentDraft.model_fields) - {"file_path", "active", "content_metadata", "prerequisite_skills"}


def _value(name: str, text: str) -> Any:
    if "\0" in text:
        raise InvalidInput(f"{name} must not contain NUL", [FieldProblem(name, "must not contain NUL")])
    if name == "skill_objectives":
        try:
            return json.decode(text.encode(errors="surrogatepass"))
        except json.NotJson:
            problem = 'must be JSON, like ["rhyming"]'
            raise InvalidInput(f"{name} {problem}", [FieldProblem(name, problem)]) from None
    if name == "download_priority" and text.isascii() and text.isdigit():
        return int(text[:6])
    return text


class _Spool:
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
        # A full disk may refuse what is still buffered; the file goes all the same.
        try:
            self._file.close()
        except OSError:
            pass
        finally:
            self.path.unlink(missing_ok=True)
