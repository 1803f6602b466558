"""What can go wrong, free of HTTP libraries: each error holds its status and its sentence."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class FieldProblem(NamedTuple):
    """One field of the input and what to mend in it."""

    field: str
    message: str


class LibraryError(Exception):
    """An error that a client is told about: `status`, `message` and, where useful, `problems` by field."""

    status = 500
    message = "Something went wrong on our side"
    headers: Mapping[str, str] = {}

    def __init__(self, message: str | None = None, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message or self.message)
        self.message = message or self.message
        self.problems = problems


class InvalidInput(LibraryError):
    status, message = 400, "Invalid input"


class EditorRequired(LibraryError):
    """Another parent than those who may edit."""

    status, message = 403, "Editor access required"


class ParentRequired(LibraryError):
    """A child where only parents may go."""

    status, message = 403, "Parent access required"


class PreconditionFailed(LibraryError):
    status, message = 412, "Content has been changed since; fetch it again"


class BodyTooLarge(LibraryError):
    status, message = 413, "Request body too large"


class Unavailable(LibraryError):
    """Something that we stand on is away; a later try may work."""

    status, message = 503, "The library is unavailable for the moment. Please try again."
    headers: Mapping[str, str] = {"Retry-After": "5"}
