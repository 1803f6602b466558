"""What an upload is: a file that waits in UPLOADS_STORAGE_PATH, and the item that its form describes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from library_server.catalog.schemas import ContentDraft
from library_server.errors import FieldProblem, InvalidInput
from library_server.files.errors import NoFileProvided, NoFileSelected, TypeNotAllowed
from library_server.lib import filenames, json
from library_server.lib.media_types import CONTENT_TYPES
from library_server.web.forms import Form
from library_server.web.inputs import from_object

_MAKE_AN_ITEM = ("content_type", "subject_area", "age_range")
_FIELDS = (*_MAKE_AN_ITEM, "title", "description", "difficulty_level", "skill_objectives", "download_priority")


@dataclass(frozen=True)
class Received:
    """A file that waits. `extension` is one of those allowed."""

    path: Path
    original_filename: str
    extension: str
    size: int
    sha256: str


def received_file(form: Form) -> Received:
    """The form's file. Raises NoFileProvided, NoFileSelected, TypeNotAllowed."""
    if form.filename is None or form.spool is None:
        raise NoFileProvided
    name = form.filename.replace("\\", "/").rpartition("/")[2]
    if not name:
        raise NoFileSelected
    extension = filenames.extension(name)
    if extension not in CONTENT_TYPES:
        raise TypeNotAllowed
    return Received(form.spool.path, name, extension, form.spool.size, form.spool.sha256.hexdigest())


def described_item(fields: Mapping[str, str]) -> dict[str, Any] | None:
    """The columns of the item that the form describes; None when it names none of the three that make an item.

    Fields that the contract does not know are let pass, as browsers send buttons along. Raises InvalidInput.
    """
    given = {name: fields[name].strip() for name in _FIELDS if fields.get(name, "").strip()}
    if not any(name in given for name in _MAKE_AN_ITEM):
        return None
    return from_object(ContentDraft, {name: _value(name, text) for name, text in given.items()}).values()


def _value(name: str, text: str) -> Any:
    if "\0" in text:
        raise InvalidInput(f"{name} must not contain NUL", [FieldProblem(name, "must not contain NUL")])
    if name == "skill_objectives":
        try:
            return json.decode(text.encode(errors="surrogatepass"))
        except json.NotJson:
            problem = 'must be JSON, like ["rhyming"]'
            raise InvalidInput(f"{name} {problem}", [FieldProblem(name, problem)]) from None
    if name == "download_priority" and text.isascii() and text.isdigit():
        return int(text[:6])
    return text
