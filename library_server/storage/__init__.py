"""Bytes, never rows: where content files are kept."""

from library_server.config import current_config
from library_server.storage.base import Storage
from library_server.storage.local import LocalStorage


def content() -> Storage:
    """The content folder of the application in whose context we run."""
    return LocalStorage(current_config().content_storage_path)


def assets() -> Storage:
    """The folder of static assets."""
    return LocalStorage(current_config().assets_storage_path)
