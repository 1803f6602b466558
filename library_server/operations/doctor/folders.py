"""Folders that the settings name, as the user sees them who runs this, and whether files and items match."""

import shutil
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from sqlalchemy import select

from library_server import storage
from library_server.catalog.models import ContentItem
from library_server.catalog.services import curriculum_files
from library_server.config import MIB, current_config
from library_server.extensions import db
from library_server.files.services import INTENT_PREFIX
from library_server.operations.doctor.findings import fail, fine, warn
from library_server.operations.schema_report import Finding
from library_server.storage.base import FileMissing
from library_server.storage.trials import try_reading, try_writing
from library_server.web.forms import PREFIX

FEW_UPLOADS = 10  # of the largest, for which there should be room
LOOKED_AT = 2000  # rows, and as many files
OLD_SECONDS = 3600
SWEEP = "run `flask --app wsgi library sweep`, which names them"


def usable() -> Iterator[Finding]:
    """Whether each folder is there, can be used, and has room."""
    config = current_config()
    for name, folder in (("content", config.content_storage_path), ("uploads", config.uploads_storage_path)):
        yield from _written(f"{name} folder", f"{name.upper()}_STORAGE_PATH", Path(folder))
    yield from _read("assets folder", "ASSETS_STORAGE_PATH", Path(config.assets_storage_path))
    content, uploads = Path(config.content_storage_path), Path(config.uploads_storage_path)
    if content.is_dir() and uploads.is_dir() and content.stat().st_dev != uploads.stat().st_dev:
        yield fine("uploads folder", "a hint: on the disk of the content, uploads would be linked instead of copied.")


def _read(name: str, setting: str, folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        yield fail(name, "there is none.", f"make or mount the folder of {setting}.")
        return
    try:
        try_reading(str(folder))
    except OSError:
        yield fail(
            name, "cannot be read by this user.", f"give the server's user the folder of {setting}, as this one."
        )
    else:
        yield fine(name, "can be read.")


def _written(name: str, setting: str, folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():  # trying would make it
        yield fail(name, "there is none.", f"make or mount the folder of {setting}.")
        return
    try:
        try_reading(str(folder))
        try_writing(str(folder))
    except OSError:
        told = "cannot be read and written by this user."
        yield fail(name, told, f"give the server's user the folder of {setting}; look whether its disk is read-only.")
        return
    free, largest = shutil.disk_usage(folder).free, current_config().max_upload_size
    told = f"{free // MIB} MiB are free"
    if free < FEW_UPLOADS * largest:
        mend = "make room; uploads get 507 when the disk is full."
        yield (fail if free < largest else warn)(name, f"{told}, not enough for {FEW_UPLOADS} large uploads.", mend)
    else:
        yield fine(name, f"can be read and written; {told}.")


def matching() -> Iterator[Finding]:
    """What `flask library sweep` would report, in numbers, of the first rows and files."""
    name, found = "files and items", []
    missing, asked = _items_without_files()
    owned_by_nobody, listed = _files_without_items()
    if missing:
        found.append(f"{missing} items have no file")
    if left := _leftovers():
        found.append(f"{left} uploads broke off and were not cleared away")
    bounded = f" (of the first {LOOKED_AT})" if LOOKED_AT in (asked, listed) else ""
    if found:
        yield warn(name, f"{' and '.join(found)}{bounded}.", f"{SWEEP}.")
    else:
        told = f"; {owned_by_nobody} files belong to no item" if owned_by_nobody else ""
        yield fine(name, f"every item has its file{told}{bounded}.")


def _items_without_files() -> tuple[int, int]:
    paths = db.session.scalars(
        select(ContentItem.file_path)
        .where(ContentItem.file_path.is_not(None), ContentItem.file_path != "")
        .order_by(ContentItem.id.desc())
        .limit(LOOKED_AT)
    ).all()
    return sum(not _is_there(path) for path in paths if path), len(paths)


def _is_there(path: str) -> bool:
    try:
        storage.content().stat(path)
    except FileMissing:
        return False
    return True


def _files_without_items() -> tuple[int, int]:
    listed = list(islice(storage.content().list(), LOOKED_AT))
    owned = set(db.session.scalars(select(ContentItem.file_path).where(ContentItem.file_path.in_(listed))))
    return len(set(listed) - owned - curriculum_files()), len(listed)


def _leftovers() -> int:
    folder, before = Path(current_config().uploads_storage_path), time.time() - OLD_SECONDS
    waiting = [path for prefix in (PREFIX, INTENT_PREFIX) for path in islice(folder.glob(f"{prefix}*"), LOOKED_AT)]
    return sum(path.is_file() and path.stat().st_mtime <= before for path in waiting)
