"""What a file is, looked at in a process of its own with little time and memory.

A picture that unfolds to gigabytes or a hostile PDF then costs that process, not the server. The file runs as a script,
so it imports nothing of ours: ``python -I inspection.py EXTENSION PATH`` prints what it found as JSON.
"""

import codecs
import json
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEMORY_BYTES = 1024 * 1024 * 1024
CPU_SECONDS = 5
WALL_SECONDS = 14
MAX_PIXELS = 64_000_000
LONGEST_MILLISECONDS = 30 * 86_400_000
MISMATCH = 3  # exit status
_HEAD_BYTES = 16
_CHUNK_BYTES = 1024 * 1024

_TURN = threading.Lock()  # a worker looks at one file at a time, so that files need `MEMORY_BYTES` of it at most

Found = dict[str, Any]


class Mismatch(Exception):
    """The file is not what its extension says, or does not open."""


def inspect(path: Path, extension: str, meanwhile: Callable[[], object] = lambda: None) -> Found:
    """``duration`` (seconds) and ``bit_rate`` (bits a second) of audio and video, ``width`` and ``height`` (pixels) of
    pictures, ``pages`` of a PDF; None where the file does not tell. `meanwhile` is called while the process looks.

    Raises Mismatch, and what `meanwhile` raises.
    """
    command = [sys.executable, "-I", __file__, extension, str(path)]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with _TURN, subprocess.Popen(command, stdin=nothing, stdout=pipe, stderr=pipe) as process:  # noqa: S603 (our own words)
        try:
            meanwhile()
            told, complaint = process.communicate(timeout=WALL_SECONDS)
        except subprocess.TimeoutExpired:
            raise Mismatch from None
        finally:
            process.kill()  # which does nothing to one that has ended
    if process.returncode == 1:  # a fault of the installation, such as a library that is missing
        raise RuntimeError(f"the inspection of files fails: {complaint.decode(errors='replace')[-500:]}")
    if process.returncode != 0:
        raise Mismatch
    found: Found = json.loads(told)
    return found


def _picture(kind: str) -> Callable[[Path], Found]:
    def look(path: Path) -> Found:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # twice as many is an error, more than that many a warning
        with Image.open(path, formats=[kind]) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise Mismatch
            picture.load()
        return {"width": width, "height": height}

    return look


def _media(container: str) -> Callable[[Path], Found]:
    def look(path: Path) -> Found:
        from pymediainfo import MediaInfo

        tracks = MediaInfo.parse(path).tracks
        general = next(track for track in tracks if track.track_type == "General")
        plays = any(track.track_type in ("Audio", "Video") for track in tracks)
        if general.format != container or not plays or not general.duration:
            raise Mismatch
        milliseconds = float(general.duration)
        if milliseconds > LONGEST_MILLISECONDS:  # a recorder that never wrote how long it was
            return {"duration": None, "bit_rate": None}
        return {"duration": round(milliseconds / 1000, 3), "bit_rate": _whole(general.overall_bit_rate)}

    return look


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _pdf(path: Path) -> Found:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError

    try:
        return {"pages": len(PdfReader(path).pages)}
    except (DependencyError, FileNotDecryptedError):  # protected, by a password or by a cipher that we lack
        return {"pages": None}


def _text(path: Path) -> Found:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if "\0" in decoder.decode(chunk):
                raise Mismatch
    decoder.decode(b"", final=True)
    return {}


def _json(path: Path) -> Found:
    def refuse(constant: str) -> None:
        raise Mismatch(constant)  # NaN is not JSON

    json.loads(path.read_bytes().decode(), parse_constant=refuse)
    return {}


def _starts(*heads: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(heads)


def _starts_as_mp3(head: bytes) -> bool:
    """An ID3v2 tag, or a frame of layer III (ISO/IEC 11172-3: eleven bits set, then version and layer)."""
    frame = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 == 0x02
    return head.startswith(b"ID3") or frame


# What a file begins with, so that nothing stands before it, and what opens the rest.
_TYPES: dict[str, tuple[Callable[[bytes], bool], Callable[[Path], Found]]] = {
    "mp3": (_starts_as_mp3, _media("MPEG Audio")),
    "wav": (lambda head: head.startswith(b"RIFF") and head[8:12] == b"WAVE", _media("Wave")),
    "mp4": (lambda head: head[4:8] == b"ftyp", _media("MPEG-4")),
    "webm": (_starts(b"\x1a\x45\xdf\xa3"), _media("WebM")),
    "jpg": (_starts(b"\xff\xd8\xff"), _picture("JPEG")),
    "jpeg": (_starts(b"\xff\xd8\xff"), _picture("JPEG")),
    "png": (_starts(b"\x89PNG\r\n\x1a\n"), _picture("PNG")),
    "gif": (_starts(b"GIF87a", b"GIF89a"), _picture("GIF")),
    "pdf": (_starts(b"%PDF-"), _pdf),
    "txt": (bool, _text),
    "json": (bool, _json),
}


def _main(extension: str, path: Path) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    fits, look = _TYPES[extension]
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not fits(head):
        return MISMATCH
    try:
        found = look(path)
    except (ImportError, PermissionError):
        raise
    except Exception:  # whatever a parser says of a hostile file
        return MISMATCH
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], Path(sys.argv[2])))
