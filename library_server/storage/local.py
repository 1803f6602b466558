"""Files in a folder of this machine (or of a shared volume mounted here)."""

import filecmp
import os
import shutil
import tempfile
from pathlib import Path

from library_server.lib import paths
from library_server.storage.base import PathTaken


class LocalStorage:
    """The folder `root`. It is made when the first file is put."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root)

    def put(self, path: str, source: Path) -> bool:
        """See `Storage.put`. The file appears by a link, which cannot overwrite, and is on disk when this returns."""
        target = self._locate(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(prefix=".partial-", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as copy, source.open("rb") as original:
                shutil.copyfileobj(original, copy)
                copy.flush()
                os.fchmod(copy.fileno(), 0o644)  # nginx reads these files as another user
                os.fsync(copy.fileno())
            os.link(partial, target)
        except FileExistsError:
            if not filecmp.cmp(partial, target, shallow=False):
                raise PathTaken(path) from None
            return False
        finally:
            Path(partial).unlink(missing_ok=True)
        _sync_folder(target.parent)
        return True

    def remove(self, path: str) -> bool:
        """See `Storage.remove`."""
        target = self._locate(path)
        try:
            target.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        _sync_folder(target.parent)
        return True

    def _locate(self, path: str) -> Path:
        if not paths.is_safe(path):
            raise ValueError("path leaves the folder")
        root = self._root.resolve()
        folder = (root / path).parent.resolve()
        if not folder.is_relative_to(root):  # by a symbolic link
            raise ValueError("path leaves the folder")
        return folder / path.rpartition("/")[2]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
