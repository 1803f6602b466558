"""Files in a folder of this machine (or of a shared volume mounted here)."""

import errno
import filecmp
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from library_server.lib import paths
from library_server.storage.base import FileMissing, PathTaken, Stat

PARTIAL_PREFIX = ".partial-"
PUBLIC_MODE = 0o644  # nginx reads these files as another user
PUBLIC_FOLDER_MODE = 0o755
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe in the folder must not stop us


class LocalStorage:
    """The folder `root`. It is made when the first file is put. Symbolic links below it are not followed."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root)

    def stat(self, path: str) -> Stat:
        """See `Storage.stat`."""
        descriptor, status = self._descend(path)
        os.close(descriptor)
        return Stat(status.st_size, int(status.st_mtime))

    def open(self, path: str) -> BufferedReader:
        """See `Storage.open`."""
        return os.fdopen(self._descend(path)[0], "rb")

    def _descend(self, path: str) -> tuple[int, os.stat_result]:
        """The file, open. Each segment is opened below the one before, so nothing can lead out on the way."""
        if not paths.is_safe(path):
            raise FileMissing
        *folders, name = path.split("/")
        try:
            here = os.open(self._root, _FOLDER & ~os.O_NOFOLLOW)
            for folder in folders:
                above, here = here, _open_below(here, folder, _FOLDER)
                os.close(above)
            descriptor = _open_below(here, name, _FILE)
            os.close(here)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO, errno.EACCES):
                raise
            raise FileMissing from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise FileMissing
        return descriptor, status

    def put(self, path: str, source: Path, *, give_away: bool = False) -> bool:
        """See `Storage.put`. The file appears by a link, which cannot overwrite, and is on disk when this returns."""
        target = self._locate(path)
        try:
            _make_folder(target.parent)
        except (FileExistsError, NotADirectoryError):  # a file stands where a folder is needed
            raise PathTaken(path) from None
        try:
            if not (give_away and _link(source, target)):
                _copy(source, target)
        except FileExistsError:
            _refuse_other_bytes(target, source)
            return False
        _sync_folder(target.parent)
        return True

    def fits(self, path: str, source: Path) -> bool:
        """See `Storage.fits`."""
        target = self._locate(path)
        if not next(folder for folder in target.parents if folder.exists()).is_dir():
            raise PathTaken(path)
        if not os.path.lexists(target):
            return True
        _refuse_other_bytes(target, source)
        return False

    def remove(self, path: str) -> bool:
        """See `Storage.remove`."""
        try:
            target = self._locate(path)
            target.unlink()
        except (FileNotFoundError, NotADirectoryError, FileMissing):
            return False
        _sync_folder(target.parent)
        return True

    def list(self, folder: str = "") -> Iterator[str]:
        """See `Storage.list`. Hidden files, which are ours in the making, do not count."""
        root = self._root.resolve()
        try:
            start = self._locate(f"{folder}/any").parent if folder else root
        except FileMissing:
            return
        for here, folders, names in os.walk(start):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(here) / name
                if not name.startswith(".") and path.is_file() and not path.is_symlink():
                    yield path.relative_to(root).as_posix()

    def _locate(self, path: str) -> Path:
        """Where the file is or will be; its folders, as far as there are any, are real ones."""
        if not paths.is_safe(path):
            raise FileMissing
        target = self._root.resolve() / path
        try:
            if target.parent.resolve() != target.parent:  # by a symbolic link
                raise FileMissing
        except (OSError, RuntimeError):  # links in a circle
            raise FileMissing from None
        return target


def _make_folder(folder: Path) -> None:
    """Makes it and what it is in, for all to read, whatever the umask; it is on disk when this returns."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(stat.S_IMODE(folder.stat().st_mode) | PUBLIC_FOLDER_MODE)
    _sync_folder(folder.parent)


def sync(path: Path) -> None:
    """Waits until the bytes of the file are on the disk. Raises OSError."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _refuse_other_bytes(target: Path, source: Path) -> None:
    if target.is_symlink() or not filecmp.cmp(source, target, shallow=False):
        raise PathTaken(target.name)


def _link(source: Path, target: Path) -> bool:
    """Makes `target` another name of `source`; False where the file systems cannot."""
    with source.open("rb") as file:
        os.fchmod(file.fileno(), PUBLIC_MODE)
        os.fsync(file.fileno())
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            return False
        raise
    return True


def _copy(source: Path, target: Path) -> None:
    """Copies beside the target first, so that `target` appears whole."""
    descriptor, partial = tempfile.mkstemp(prefix=PARTIAL_PREFIX, dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as copy, source.open("rb") as original:
            shutil.copyfileobj(original, copy)
            copy.flush()
            os.fchmod(copy.fileno(), PUBLIC_MODE)
            os.fsync(copy.fileno())
        os.link(partial, target)
    finally:
        Path(partial).unlink(missing_ok=True)


def _open_below(folder: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError:
        os.close(folder)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
