"""Names of files: in a header, and on disk."""

import re
import unicodedata
from urllib.parse import quote

MAX_NAME_CHARACTERS = 120
MAX_SLUG_CHARACTERS = 60
_UNSAFE = re.compile(r'[\x00-\x1f\x7f"\\/:*?<>|%]+')
_ATTR_CHARACTERS = "!#$&+-.^_`|~"  # of RFC 8187, beyond letters and digits
HASHED = re.compile(r"-[0-9a-f]{8}\.[a-z0-9]+$")


def extension(name: str) -> str:
    """The extension in small letters, without its dot; empty where there is none."""
    stem, dot, last = name.rpartition("/")[2].rpartition(".")
    return last.lower() if dot and stem else ""


def slug(text: str) -> str:
    """``the-itsy-bitsy-spider``: small ASCII letters, digits and hyphens; ``file`` where nothing is left."""
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-")
    return words[:MAX_SLUG_CHARACTERS].strip("-") or "file"


def attachment(title: str, suffix: str) -> str:
    """A ``Content-Disposition`` (RFC 6266) that saves as `title` with this extension.

    Old clients get an ASCII name, all others the title itself, in UTF-8 as RFC 8187 has it.
    """
    cleaned = _UNSAFE.sub(" ", unicodedata.normalize("NFC", title).encode(errors="ignore").decode())
    stem = " ".join(cleaned.split()).strip(". ")[:MAX_NAME_CHARACTERS] or "download"
    name = f"{stem}.{suffix}" if suffix and not stem.lower().endswith(f".{suffix}") else stem
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = " ".join(plain.split()) if slug(plain) != "file" else f"download.{suffix}".rstrip(".")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARACTERS)}"
