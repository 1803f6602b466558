"""What crashes leave behind, and where files and items do not match."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from library_server import storage
from library_server.catalog.models import ContentItem
from library_server.catalog.services import curriculum_files, is_file_used, take_turns
from library_server.config import current_config
from library_server.extensions import db
from library_server.files.services import INTENT_PREFIX
from library_server.storage.base import FileMissing
from library_server.storage.local import PARTIAL_PREFIX
from library_server.web.forms import PREFIX


@dataclass
class Report:
    """Counts, and paths relative to the content folder."""

    leftovers_removed: int = 0
    uploads_taken_back: int = 0
    files_without_items: list[str] = field(default_factory=list)
    items_without_files: list[tuple[int, str]] = field(default_factory=list)
    files_changed: list[str] = field(default_factory=list)
    files_unreadable: list[str] = field(default_factory=list)


def sweep(older_than_seconds: int, verify: bool = False) -> Report:
    """Removes leftovers older than that, and reports; with `verify` it reads every file whose digest is known.

    Time grows with the files in the folder and the items that name one; with `verify`, with their bytes.
    """
    report = Report()
    before = time.time() - older_than_seconds
    _take_back_uploads(before, report)
    _remove_leftovers(before, report)
    _compare(report, verify)
    return report


def _take_back_uploads(before: float, report: Report) -> None:
    """An upload that crashed between its file and its item: the file goes, unless an item has come to use it."""
    for intent in _older(Path(current_config().uploads_storage_path), f"{INTENT_PREFIX}*", before):
        digest = intent.name.removeprefix(INTENT_PREFIX)
        take_turns(digest)
        path = intent.read_text() if intent.exists() else ""  # the upload may have come back meanwhile
        with suppress(FileMissing):
            if path and _digest(path) == digest and not is_file_used(path):
                report.uploads_taken_back += storage.content().remove(path)
        intent.unlink(missing_ok=True)
        db.session.commit()


def _remove_leftovers(before: float, report: Report) -> None:
    config = current_config()
    for folder, pattern in (
        (config.uploads_storage_path, f"{PREFIX}*"),
        (config.content_storage_path, f"**/{PARTIAL_PREFIX}*"),
    ):
        for leftover in _older(Path(folder), pattern, before):
            leftover.unlink(missing_ok=True)
            report.leftovers_removed += 1


def _older(folder: Path, pattern: str, before: float) -> Iterator[Path]:
    for path in list(folder.glob(pattern)):
        if path.is_file() and path.stat().st_mtime <= before:
            yield path


def _compare(report: Report, verify: bool) -> None:
    owned: dict[str, str | None] = {}
    rows = db.session.execute(
        select(ContentItem.id, ContentItem.file_path, ContentItem.content_metadata)
        .where(ContentItem.file_path.is_not(None), ContentItem.file_path != "")
        .execution_options(yield_per=1000)
    )
    for item_id, path, metadata in rows:
        owned[path] = owned.get(path) or _digest_told(metadata)
        try:
            storage.content().stat(path)
        except FileMissing:
            report.items_without_files.append((item_id, path))
        except OSError:
            report.files_unreadable.append(path)
    used_elsewhere = curriculum_files()
    for path in storage.content().list():
        if path not in owned and path not in used_elsewhere:
            report.files_without_items.append(path)
        elif verify and owned.get(path) and path not in report.files_unreadable:
            try:
                if _digest(path) != owned[path]:
                    report.files_changed.append(path)
            except OSError:
                report.files_unreadable.append(path)


def _digest_told(metadata: object) -> str | None:
    media = metadata.get("media") if isinstance(metadata, dict) else None
    told = media.get("sha256") if isinstance(media, dict) else None
    return told if isinstance(told, str) else None


def _digest(path: str) -> str:
    with storage.content().open(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
