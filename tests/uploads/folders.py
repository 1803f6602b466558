"""The folders of a server, looked at from outside."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folders:
    """Where uploads wait and where content stays; `kept` and `waiting` name every file there, hidden ones too."""

    content: Path
    uploads: Path

    @classmethod
    def below(cls, folder: Path) -> "Folders":
        """Those of a server whose data is in `folder`. Nobody has made them yet."""
        return cls(folder / "content", folder / "uploads")

    @property
    def settings(self) -> dict[str, str]:
        """The settings that name them."""
        return {"CONTENT_STORAGE_PATH": str(self.content), "UPLOADS_STORAGE_PATH": str(self.uploads)}

    def kept(self) -> list[str]:
        return _files_below(self.content)

    def waiting(self) -> list[str]:
        return _files_below(self.uploads)

    def put(self, path: str, data: bytes = b"words") -> Path:
        """Writes a content file past the server."""
        target = self.content / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target

    def wait(self, name: str, data: bytes = b"words") -> Path:
        """Writes a file into the uploads folder, as a server that crashed would have left it."""
        self.uploads.mkdir(parents=True, exist_ok=True)
        (self.uploads / name).write_bytes(data)
        return self.uploads / name


def sha256(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
