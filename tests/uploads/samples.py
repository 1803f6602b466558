"""Small files of every accepted type: genuine ones, and hostile ones."""

import base64
import io
import json
import struct
import wave
import zlib
from pathlib import Path

from library_server import dev

FILES = Path(dev.__file__).parent / "sample" / "files"
TYPES = ("mp3", "wav", "mp4", "webm", "jpg", "jpeg", "png", "gif", "pdf", "txt", "json")
FOLDERS = {
    "audio": ("mp3", "wav"),
    "video": ("mp4", "webm"),
    "images": ("jpg", "jpeg", "png", "gif"),
    "documents": ("pdf", "txt", "json"),
}
CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
ONE_PAGE = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"

# One blank page that everybody may open and nobody may print: AES-256 with an empty user password.
COPY_PROTECTED_PDF = base64.b64decode("""
JVBERi0xLjMKJeLjz9MKMSAwIG9iago8PAovUHJvZHVjZXIgPGJkNjMwNTNhMjFiM2E5MDAwYTk0NzIwMmVmZmY5Nzc3ZjdlNzU3YWM2ZmM3OWQwZjZh
MzY5ZGNiZjAwMTQwMjY+Cj4+CmVuZG9iagoyIDAgb2JqCjw8Ci9UeXBlIC9QYWdlcwovQ291bnQgMQovS2lkcyBbIDQgMCBSIF0KPj4KZW5kb2JqCjMg
MCBvYmoKPDwKL1R5cGUgL0NhdGFsb2cKL1BhZ2VzIDIgMCBSCj4+CmVuZG9iago0IDAgb2JqCjw8Ci9UeXBlIC9QYWdlCi9SZXNvdXJjZXMgPDwKPj4K
L01lZGlhQm94IFsgMC4wIDAuMCAyMDAgMjAwIF0KL1BhcmVudCAyIDAgUgo+PgplbmRvYmoKNSAwIG9iago8PAovViA1Ci9SIDYKL0xlbmd0aCAyNTYK
L1AgNDI5NDk2NzI5MgovRmlsdGVyIC9TdGFuZGFyZAovTyA8YmIzOTQ5MWFhYTIyODRkZDczM2ZjYTUyMjY2NWVkZTBjMjQ5MGQzNzc3YmU0NDk5MWMw
OWU3Yjk1ZGE5MDk0ZTg1M2M3MzVkMzQ0ZWQ0ZWIwMTdkOTA2Zjc4MGE2MmVkPgovVSA8NThkMThlOTExYTMzMDAwODljNGFjZjE2NjU2ZWY1OWY1NDc5
MWUzYWY0ZWQ3NjMxOWJmMmNiOTNjMDZiZjAxMjY5NjNhNTY5MjZlNmVlYmU2ODI3YmE2NTM2MGVkZDQxPgovQ0YgPDwKL1N0ZENGIDw8Ci9BdXRoRXZl
bnQgL0RvY09wZW4KL0NGTSAvQUVTVjMKL0xlbmd0aCAzMgo+Pgo+PgovU3RtRiAvU3RkQ0YKL1N0ckYgL1N0ZENGCi9PRSA8ODY4MjEwNzU5ZjhlZWNj
NDgwZmYxMTRiZDE0ZGQxZjM4ZmE2ZWJmMzAyMWI0MDI4ZGI2N2Y2MWI5MjZhOWVjZD4KL1VFIDw1NDkwNzc0ZTEzYThmMDNkNzFhMmRlYWQxMzEwOGZi
Yzk2YjJiN2UzZjFmNDVkNjJkYjA0N2ZlYzUyNWU3ZWQzPgovUGVybXMgPDgwMzZkZWU1MWJiMzk3YjRjYzBmNDUzMDc5YjBmMjJmPgo+PgplbmRvYmoK
eHJlZgowIDYKMDAwMDAwMDAwMCA2NTUzNSBmIAowMDAwMDAwMDE1IDAwMDAwIG4gCjAwMDAwMDAxMTMgMDAwMDAgbiAKMDAwMDAwMDE3MiAwMDAwMCBu
IAowMDAwMDAwMjIxIDAwMDAwIG4gCjAwMDAwMDAzMTUgMDAwMDAgbiAKdHJhaWxlcgo8PAovU2l6ZSA2Ci9Sb290IDMgMCBSCi9JbmZvIDEgMCBSCi9J
RCBbIDw2OGZiNDgzNzYwNTAwZTc1ZWZiMTk1NTk2ZDkzYmRiOD4gPDY4ZmI0ODM3NjA1MDBlNzVlZmIxOTU1OTZkOTNiZGI4PiBdCi9FbmNyeXB0IDUg
MCBSCj4+CnN0YXJ0eHJlZgo4NzAKJSVFT0YK
""")


def folder_of(extension: str) -> str:
    """The folder of the content folder where files of this type belong."""
    return next(folder for folder, extensions in FOLDERS.items() if extension in extensions)


def genuine(extension: str) -> bytes:
    """A file that is what this extension says."""
    made = {"png": png, "wav": wav, "txt": text, "json": quiz, "pdf": pdf}
    if extension in made:
        return made[extension]()
    return {
        "mp3": FILES / "audio/hickory-dickory-dock-spoken.mp3",
        "mp4": FILES / "video/moon-phases.mp4",
        "webm": FILES / "video/counting-dots.webm",
        "jpg": FILES / "images/colour-wheel.jpg",
        "jpeg": FILES / "images/colour-wheel.jpg",
        "gif": FILES / "images/frog-jumps.gif",
    }[extension].read_bytes()


def text() -> bytes:
    return "Once upon a time – été, 日本, 🕷.\r\n".encode()


def quiz() -> bytes:
    return json.dumps({"questions": [{"ask": "2 + 2", "answer": 4}], "für": None}, ensure_ascii=False).encode()


def wav(seconds: float = 0.5) -> bytes:
    """Silence: 8000 samples of two bytes a second, after 44 bytes of header."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(int(seconds * 8000) * 2))
    return file.getvalue()


def streamed_wav() -> bytes:
    """As recorders write it when they do not know how long it will become."""
    return wav()[:4] + b"\xff" * 4 + wav()[8:40] + b"\xff" * 4 + wav()[44:]


def streamed_webm() -> bytes:
    """As browsers record it: the segment's size is unknown, and it names no duration."""
    data = bytearray(genuine("webm"))
    segment, duration = data.index(b"\x18\x53\x80\x67"), data.index(b"\x44\x89\x88")
    data[segment + 4 : segment + 12] = b"\x01" + b"\xff" * 7
    data[duration : duration + 11] = b"\xec\x89" + bytes(9)  # a void element instead
    return bytes(data)


def matroska() -> bytes:
    """What is in the WebM, and calls itself Matroska: it may hold codecs that no browser plays."""
    data = bytearray(genuine("webm"))
    name = data.index(b"\x42\x82\x84webm")
    data[name : name + 7] = b"\x42\x82\x88matroska"
    size = 4 + 1 if data[4] & 0x80 else 4 + 8  # where the header's size ends (RFC 8794, section 4.1)
    data[size - 1] += 4
    return bytes(data)


def silent_mp3(frames: int = 20, tag: bytes = b"") -> bytes:
    """Frames of layer III, 128 kbit/s at 44.1 kHz, each 417 bytes and 1152 samples long, behind an ID3 tag's text."""
    header = b"ID3\x03\0\0" + bytes([0, 0, len(tag) >> 7, len(tag) & 0x7F]) + tag if tag else b""
    return header + (b"\xff\xfb\x90\x00" + bytes(413)) * frames


def png(width: int = 3, height: int = 2, rows: bytes | None = None) -> bytes:
    """Black, one bit a pixel; `rows`: compressed, instead of those that belong there."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height) if rows is None else rows
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def pdf(*objects: bytes) -> bytes:
    """A PDF of these objects, numbered from 1; the first is its catalogue. Without any: one blank page."""
    body, offsets = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", []
    objects = objects or (CATALOG, ONE_PAGE, PAGE)
    for number, each in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    size = len(objects) + 1
    table = b"xref\n0 %d\n0000000000 65535 f \n" % size + b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return body + table + b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, len(body))


def noise(length: int) -> bytes:
    """Bytes that are nothing, the same every time."""
    return bytes((number * 7919 + number // 251) % 256 for number in range(length))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
