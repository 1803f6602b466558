"""Whether a folder can be used, found out by using it."""

import os
import tempfile
from pathlib import Path

from library_server.storage.local import PARTIAL_PREFIX


def try_writing(folder: str) -> None:
    """Makes a small hidden file and removes it; first the folder, as an upload does. Raises OSError.

    Killed in between, it leaves what `flask library sweep` removes.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=PARTIAL_PREFIX, dir=folder)
    try:
        os.write(descriptor, b"x")
    finally:
        os.close(descriptor)
        Path(name).unlink()


def try_reading(folder: str) -> None:
    """Opens the folder and looks for a first entry. Raises OSError."""
    with os.scandir(folder) as entries:
        next(entries, None)
