"""What the curriculum refuses."""

from library_server.errors import LibraryError


class RowNotFound(LibraryError):
    """The message says what: ``Lesson not found``."""

    status, message = 404, "Not found"
