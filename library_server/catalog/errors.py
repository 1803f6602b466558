"""What the catalogue refuses."""

from library_server.errors import LibraryError


class ContentNotFound(LibraryError):
    status, message = 404, "Content not found"


class HasLearningRecords(LibraryError):
    status, message = 409, "Content has learning records; retire it instead"
