"""Files over HTTP: parse, one call, status."""

import errno
from pathlib import Path

from flask import Response, current_app, request

from library_server import storage
from library_server.accounts.errors import REFUSALS, NotSignedIn
from library_server.accounts.guards import current_actor, require_editor_within, require_user_within, sign_in
from library_server.accounts.limits import limited
from library_server.catalog import queries as catalog
from library_server.catalog.errors import ContentNotFound
from library_server.catalog.schemas import dump_item
from library_server.config import current_config
from library_server.errors import FieldProblem, InvalidInput
from library_server.files import queries, replies, services, uploads
from library_server.files.errors import (
    AssetFileNotFound,
    ContentFileNotFound,
    ContentMismatch,
    DiskFull,
    NoFileProvided,
    NoFileSelected,
    TypeNotAllowed,
)
from library_server.lib import filenames
from library_server.lib.paths import is_safe
from library_server.storage.base import FileMissing
from library_server.web.blueprints import LibraryBlueprint
from library_server.web.files import file_response
from library_server.web.forms import FORM_BROKEN, FileTooLarge, receive_form
from library_server.web.links import LinkExpired, LinkInvalid, check_link, file_url
from library_server.web.openapi import document
from library_server.web.responses import json_response

bp = LibraryBlueprint("files", __name__)
direct = LibraryBlueprint("direct_files", __name__)

_MISSING, _NOT_JSON = "Missing required fields: subject_area, age_range", 'must be JSON, like ["rhyming"]'
_UPLOAD_FAILS = (
    *(NoFileProvided, NoFileSelected, TypeNotAllowed, ContentMismatch, FileTooLarge, DiskFull),
    *(InvalidInput(FORM_BROKEN), InvalidInput(_MISSING)),
    InvalidInput(f"skill_objectives {_NOT_JSON}", [FieldProblem("skill_objectives", _NOT_JSON)]),
)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@bp.get("/content/<path:path>")
@document(
    None,
    link=True,
    fails=(*REFUSALS, LinkInvalid, LinkExpired, ContentFileNotFound),
    rule="/content/<folder>/<name>",
    path={"folder": "audio", "name": "itsy-bitsy-spider-3f2a9c1e.mp3"},
)
def content_file(path: str) -> Response:
    """A content file, for a token or by the signed link in an item's `file_url`.

    Ranges and conditional requests are answered.
    """
    if is_safe(path):
        queries.expect(path)
    return _content_file(path, _may_see_retired(path))


@limited("files")
def _content_file(path: str, may_see_retired: bool) -> Response:
    try:
        if not is_safe(path) or (not may_see_retired and queries.is_retired(path)):
            raise FileMissing
        return file_response("content", storage.content(), path)
    except FileMissing:
        raise ContentFileNotFound from None


@bp.get("/assets/<path:path>")
@document(
    None,
    public=True,
    fails=(AssetFileNotFound,),
    rule="/assets/<folder>/<name>",
    path={"folder": "icons", "name": "star.png"},
)
@limited("files")
def asset_file(path: str) -> Response:
    """A static asset."""
    try:
        return file_response("assets", storage.assets(), path)
    except FileMissing:
        raise AssetFileNotFound from None


@bp.get("/content/<int:item_id>/download")
@direct.get("/download/<int:item_id>")
@document(None, fails=(ContentNotFound, ContentFileNotFound))
@require_user_within("files")
def download(item_id: int) -> Response:
    """The item's file, to be saved under the item's title. It is counted, once a download."""
    item = catalog.get_item(current_actor(), item_id)
    if not item.file_path:
        raise ContentFileNotFound
    name = filenames.attachment(dump_item(item)["title"], filenames.extension(item.file_path))
    try:
        response = file_response("content", storage.content(), item.file_path, name)
    except FileMissing:
        raise ContentFileNotFound from None
    if response.from_the_first_byte:
        services.item_downloaded.send(current_app._get_current_object(), item_id=item.id)  # type: ignore[attr-defined]
    return response


@bp.post("/api/content/upload")
@direct.post("/upload")
@document(replies.Uploaded, status=201, form=replies.UploadForm, fails=_UPLOAD_FAILS)
@require_editor_within("upload")
def upload() -> Response:
    """Takes a file in and, with `content_type`, `subject_area` and `age_range`, makes an item of it."""
    config = current_config()
    try:
        with receive_form(Path(config.uploads_storage_path), config.max_upload_size) as form:
            draft = uploads.described_item(form.fields)
            received = uploads.received_file(form)
            stored = services.store(current_actor(), received, draft)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull from None
        raise
    item = stored.item
    payload = {
        "message": "File uploaded successfully",
        "file_path": stored.path,
        "access_url": file_url(stored.path),
        "filename": stored.path.rpartition("/")[2],
        "original_filename": received.original_filename,
        "size": received.size,
        "sha256": received.sha256,
        "duplicate": stored.duplicate,
        "content_id": item.id if item else None,
        "content": dump_item(item) if item else None,
    }
    return json_response(payload, 201)


def _may_see_retired(path: str) -> bool:
    """Whether who asks may see retired items' files too. Raises what signing in raises, LinkInvalid or LinkExpired.

    A good link opens the file; an editor's token opens more; a bad link is no worse than none.
    """
    header = request.headers.get("Authorization")
    public = current_config().content_files_access == "public"
    if "signature" in request.args:
        try:
            if check_link(path, request.args) == "editors" or header is None:
                return request.args.get("audience") == "editors"
            public = True
        except (LinkInvalid, LinkExpired):
            if header is None and not public:
                raise
    if header is None and public:
        return False
    try:
        return sign_in().may_edit is True
    except NotSignedIn:
        if public:
            return False
        raise
