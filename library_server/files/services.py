"""Keeping an upload: its bytes under a name of their own, and its item, both or neither."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from blinker import Signal
from sqlalchemy import select

from library_server import storage
from library_server.accounts.services import permit_editing
from library_server.actor import Actor
from library_server.catalog import services as catalog
from library_server.catalog.models import ContentItem
from library_server.catalog.services import is_file_used, take_turns
from library_server.catalog.visibility import shown
from library_server.config import current_config
from library_server.extensions import db
from library_server.files import inspection
from library_server.files.errors import ContentMismatch
from library_server.files.uploads import Received
from library_server.lib import filenames
from library_server.lib.media_types import CONTENT_TYPES
from library_server.storage.base import PathTaken
from library_server.storage.local import sync

item_downloaded = Signal("The file of an item was delivered from its first byte; sent with ``item_id``.")

INTENT_PREFIX = "intent-"
_KEY = ("content_type", "subject_area", "age_range", "title")
_FOLDERS = {"audio": "audio", "video": "video", "image": "images"}


@dataclass(frozen=True)
class Stored:
    """Where the bytes are, whether they were there before, and the item that was made of them."""

    path: str
    duplicate: bool
    item: ContentItem | None


def store(actor: Actor, received: Received, draft: Mapping[str, Any] | None) -> Stored:
    """Keeps the file and, with `draft` (columns), adds an item of it, in one transaction.

    The same bytes are kept once, whoever sends them and however often; the same item of them is made once. Raises
    ParentRequired, EditorRequired, ContentMismatch, OSError from the disk.
    """
    permit_editing(actor)
    try:
        # What takes longest, both: to look at it, and to have it on the disk, where `put` wants it.
        found = inspection.inspect(received.path, received.extension, partial(sync, received.path))
    except inspection.Mismatch:
        raise ContentMismatch from None
    media = {"mime": CONTENT_TYPES[received.extension], "size": received.size, "sha256": received.sha256, **found}
    take_turns(received.sha256[:8])
    path = _find_same(received)
    if path is not None:
        intent = _intent(received.sha256)  # of an upload that crashed, or is just failing
        if draft is None:
            intent.unlink(missing_ok=True)  # before our turn ends: the file is wanted now, and no item says so
        stored = Stored(path, True, _item_of(actor, path, received, draft, media))
        intent.unlink(missing_ok=True)
        return stored
    with _both_or_neither(received, draft) as new_path:
        return Stored(new_path, False, _item_of(actor, new_path, received, draft, media))


def _folder(extension: str) -> str:
    return _FOLDERS.get(CONTENT_TYPES[extension].partition("/")[0], "documents")


def _find_same(received: Received) -> str | None:
    extensions = ("jpg", "jpeg") if received.extension in ("jpg", "jpeg") else (received.extension,)
    endings = tuple(f"-{received.sha256[:8]}.{extension}" for extension in extensions)
    for path in storage.content().list(_folder(received.extension)):
        if path.endswith(endings) and _put(path, received):
            return path
    return None


def _put(path: str, received: Received) -> bool:
    """Whether the file is at `path` now; False where other bytes are."""
    try:
        storage.content().put(path, received.path, give_away=True)
    except PathTaken:
        return False
    return True


@contextmanager
def _both_or_neither(received: Received, draft: Mapping[str, Any] | None) -> Iterator[str]:
    """Puts the file, and takes it back when what follows fails. After a crash the intent tells ``sweep`` the same."""
    stem = filenames.slug((draft or {}).get("title") or Path(received.original_filename).stem)
    folder, digest = _folder(received.extension), received.sha256
    intent, placed = _intent(digest), None
    try:
        for unique in ("", f"-{digest[8:]}"):  # other bytes may have the same eight digits
            path = f"{folder}/{stem}{unique}-{digest[:8]}.{received.extension}"
            if draft is not None:
                intent.write_text(path)
            if _put(path, received):
                placed = path
                break
        else:
            raise PathTaken(path)
        yield path
    except BaseException:
        db.session.rollback()  # which ends our turn: who waited for it may have come to use the file
        take_turns(digest[:8])
        # What failed may have been a listener, after the row was there. While nobody can tell, the intent stays; where
        # it is gone, who waited for our turn was given the file.
        wanted = draft is not None and not intent.exists()
        if placed and not wanted and not is_file_used(placed):
            storage.content().remove(placed)
        intent.unlink(missing_ok=True)
        db.session.rollback()
        raise
    intent.unlink(missing_ok=True)


def _intent(sha256: str) -> Path:
    return Path(current_config().uploads_storage_path) / f"{INTENT_PREFIX}{sha256}"


def _item_of(
    actor: Actor, path: str, received: Received, draft: Mapping[str, Any] | None, media: dict[str, Any]
) -> ContentItem | None:
    if draft is None:
        db.session.commit()  # ends our turn
        return None
    title = draft["title"] or _title(received.original_filename)
    values = {**draft, "title": title, "file_path": path, "content_metadata": {"media": media}}
    same = [getattr(ContentItem, name) == values[name] for name in _KEY]
    item = db.session.scalar(select(ContentItem).where(ContentItem.file_path == path, shown(), *same).limit(1))
    if item is not None:
        db.session.commit()
        return item
    return catalog.create_item(actor, values)


def _title(original_filename: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in Path(original_filename).stem)
    return " ".join(printable.split())[:200]
