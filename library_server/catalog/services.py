"""Writes to the catalogue. Each function commits, then tells: `item_changed` is sent after the commit."""

import logging
import zlib
from collections.abc import Collection, Mapping
from typing import Any

from blinker import Signal
from sqlalchemy import column, exists, select, table, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.attributes import flag_modified

from library_server import storage
from library_server.accounts.services import permit_editing
from library_server.actor import Actor
from library_server.catalog.errors import ContentNotFound, HasLearningRecords
from library_server.catalog.models import ContentItem
from library_server.catalog.queries import MAX_ID
from library_server.catalog.schemas import revision
from library_server.errors import PreconditionFailed
from library_server.extensions import db
from library_server.lib import filenames, json
from library_server.lib.clock import utc_now
from library_server.shared import schema

log = logging.getLogger(__name__)

item_viewed = Signal("An item was answered to somebody who did not have it already; sent with ``item_id``.")
item_changed = Signal("An item was created, changed, retired or purged; sent with ``item_id`` after the commit.")

_PROGRESS = table("progress", column("content_id"))
_FOREIGN_KEY_VIOLATION = "23503"
_LOCK_SPACE = 730_580  # of advisory locks, ours
IMPORT_LOCK = 7_305_801_143  # two imports at once take turns
_WITH_AUDIO, _AUDIO = ("heggerty_curriculum_data", "nursery_rhyme_data"), "audio_file_path"


def create_item(actor: Actor, values: Mapping[str, Any]) -> ContentItem:
    """Adds an item with these column `values`. Raises ParentRequired or EditorRequired."""
    permit_editing(actor)
    now = utc_now()
    item = ContentItem(**values, usage_count=0, created_at=now, updated_at=now)
    db.session.add(item)
    return _commit(item)


def change_item(
    actor: Actor, item_id: int, values: Mapping[str, Any], expected: Collection[str] | None = None
) -> ContentItem:
    """Sets the columns in `values`, and no other, so that two editors of different columns both have their way.

    Raises ParentRequired, EditorRequired, ContentNotFound; PreconditionFailed when the item's revision is not among
    `expected`.
    """
    item = _locked(actor, item_id, expected)
    assign(item, values)
    return _commit(item)


def assign(row: Any, values: Mapping[str, Any]) -> None:
    """Sets the columns that differ from `values` and, where one does, `updated_at`."""
    for name, value in values.items():
        if json.encode(getattr(row, name)) != json.encode(value):  # to Python True is 1, in JSON it is not
            setattr(row, name, value)
            flag_modified(row, name)
    if db.session.is_modified(row):
        row.updated_at = utc_now()


def retire_item(actor: Actor, item_id: int, expected: Collection[str] | None = None) -> None:
    """Takes the item out of sight; its row, file and learning records stay. Raises as `change_item` does."""
    change_item(actor, item_id, {"active": False}, expected)


def purge_item(actor: Actor, item_id: int, expected: Collection[str] | None = None) -> None:
    """Removes the row for good, and its file unless another row uses it. Raises as `change_item` does, and
    HasLearningRecords.
    """
    item = _locked(actor, item_id, expected, to_purge=True)
    # Asked before, because a database may lack the foreign key, or have one that deletes along.
    if "content_id" in schema.columns("progress") and db.session.scalar(
        select(exists().where(_PROGRESS.c.content_id == item_id))
    ):
        raise HasLearningRecords
    path = item.file_path
    db.session.delete(item)
    try:
        db.session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # a foreign key may wait for the commit to object
        db.session.flush()
    except IntegrityError as error:
        db.session.rollback()
        if getattr(error.orig, "pgcode", None) == _FOREIGN_KEY_VIOLATION:
            raise HasLearningRecords from None
        raise
    db.session.commit()
    item_changed.send(item_id=item_id)
    if path:
        _remove_file(path)


def _locked(actor: Actor, item_id: int, expected: Collection[str] | None, to_purge: bool = False) -> ContentItem:
    permit_editing(actor)
    kept = {"key_share": not to_purge}  # else a child's progress with the item, which refers to it, would have to wait
    item = db.session.get(ContentItem, item_id, with_for_update=kept) if 0 < item_id <= MAX_ID else None
    if item is None:
        raise ContentNotFound
    if expected is not None and revision(item) not in expected:
        raise PreconditionFailed
    return item


def _commit(item: ContentItem) -> ContentItem:
    db.session.flush()
    db.session.refresh(item)  # before the commit: afterwards the row is anybody's to change or purge
    db.session.commit()
    item_changed.send(item_id=item.id)
    return item


def take_turns(digits: str) -> None:
    """Until the transaction ends, nobody else makes or removes a file whose digest begins with these (hexadecimal)."""
    lock = text("SELECT pg_advisory_xact_lock(:space, :digits)")
    db.session.execute(lock, {"space": _LOCK_SPACE, "digits": zlib.crc32(digits[:8].encode()) - 2**31})


def _remove_file(path: str) -> None:
    # The row is gone and the editor is told so; a file that will not go is an operator's matter.
    try:
        remove_unused(path)
        db.session.commit()
    except OSError as error:
        log.error("The file of a purged item could not be removed: %s", type(error).__name__)


def remove_unused(path: str) -> None:
    """Removes the file unless a row names it, and lets nobody come to use it until the transaction ends.

    While somebody else's import is at work, whose rows nobody can see yet, it stays: ``sweep`` tells of it.
    """
    if not db.session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": IMPORT_LOCK}):
        return
    if hashed := filenames.HASHED.search(path):  # an upload of the same bytes
        take_turns(hashed[0][1:9])
    if not is_file_used(path):
        storage.content().remove(path)


def is_file_used(path: str) -> bool:
    """Whether a row of any table of ours names the file."""
    return bool(db.session.scalar(select(exists().where(ContentItem.file_path == path)))) or is_in_curriculum(path)


def is_in_curriculum(path: str) -> bool:
    """Whether a lesson or rhyme names the file."""
    return any(
        db.session.scalar(select(exists().where(table(name, column(_AUDIO)).c.audio_file_path == path)))
        for name in _WITH_AUDIO
        if _AUDIO in schema.columns(name)
    )


def curriculum_files() -> set[str]:
    """The files that the curriculum tables name."""
    return {
        path
        for name in _WITH_AUDIO
        if _AUDIO in schema.columns(name)
        for path in db.session.scalars(select(table(name, column(_AUDIO)).c.audio_file_path))
        if path
    }
