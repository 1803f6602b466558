"""Why somebody gets no recommendations."""

from library_server.errors import LibraryError


class AccessDenied(LibraryError):
    """Somebody else's child."""

    status, message = 403, "Access denied"


class ChildNotFound(LibraryError):
    status, message = 404, "Child not found"
