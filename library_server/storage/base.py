"""What a place for files can do. Paths are relative, with ``/`` between plain segments (`lib.paths.is_safe`)."""

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, Protocol


class FileMissing(Exception):
    """There is no file of this path; also for every path that leaves the folder, by whatever spelling or link."""


class PathTaken(Exception):
    """Another file already has this path; nothing is ever overwritten."""


class Stat(NamedTuple):
    """A file's size in bytes and when it was last modified, in seconds since 1970."""

    size: int
    modified: int


class Storage(Protocol):
    """Local folders for now; an object store later."""

    def stat(self, path: str) -> Stat:
        """Raises FileMissing."""

    def open(self, path: str) -> BufferedReader:
        """The file, to be read from its first byte. Raises FileMissing."""

    def put(self, path: str, source: Path, *, give_away: bool = False) -> bool:
        """Brings the bytes of `source` to `path`, whole or not at all; False when they are there already.

        `source` stays where it is. With `give_away` nobody will change it any more, so it need not be copied.
        Raises PathTaken when other bytes are, FileMissing for a path that leaves the folder, OSError from the disk.
        """

    def fits(self, path: str, source: Path) -> bool:
        """What `put` would return or raise for these, and nothing is written."""

    def remove(self, path: str) -> bool:
        """Removes the file; False when there is none. Raises OSError."""

    def list(self, folder: str = "") -> Iterator[str]:
        """The paths of all files below `folder`, in no order; none where there is no such folder."""
