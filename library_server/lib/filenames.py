"""Names of files: in a header, and on disk."""

import re
import unicodedata
from urllib.parse import quote

MAX_NAME_CHARACTERS = 120
MAX_SLUG_CHARACTERS = 60
_UNSAFE = re.compile(r'[\x00-\x1f\x7f"\\/:*?<>|%]+')
_NOT_OF_AN_EXTENSION = re.compile(r"[^A-Za-z0-9]+")
_ATTR_CHARACTERS = "!#$&+-.^_`|~"  # of RFC 8187, beyond letters and digits
HASHED = re.compile(r"-[0-9a-f]{8}\.[a-z0-9]+$")
DIGEST = re.compile(r"-(?=[0-9]*[a-f])[0-9a-f]{8}\.[a-z0-9]+$")  # the same for sure: digits alone may be a date


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
    ending = f".{safe}" if (safe := _NOT_OF_AN_EXTENSION.sub("", suffix)) else ""
    name = _named(unicodedata.normalize("NFC", title), ending)
    letters = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    plain = _named(letters if any(letter.isalnum() for letter in letters) else "", ending)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARACTERS)}"


def _named(title: str, ending: str) -> str:
    words = _UNSAFE.sub(" ", title.encode(errors="ignore").decode()).split()
    stem = " ".join(words).strip(". ")
    if ending and stem.lower().endswith(ending):
        stem, ending = stem[: -len(ending)], stem[-len(ending) :]
    stem = stem[:MAX_NAME_CHARACTERS].strip(". ")
    return (stem or "download") + ending
