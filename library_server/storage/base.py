"""What a place for files can do. Paths are relative, with ``/`` between plain segments (`lib.paths.is_safe`)."""

from pathlib import Path
from typing import Protocol


class PathTaken(Exception):
    """Another file already has this path; nothing is ever overwritten."""


class Storage(Protocol):
    """Local folders for now; an object store later."""

    def put(self, path: str, source: Path) -> bool:
        """Copies `source` to `path`, whole or not at all; False when the same bytes are there already.

        Raises PathTaken when other bytes are, ValueError for a path that leaves the folder, OSError from the disk.
        """

    def remove(self, path: str) -> bool:
        """Removes the file; False when there is none. Raises ValueError and OSError as `put` does."""
