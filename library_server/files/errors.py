"""What serving and uploading refuse."""

from library_server.errors import LibraryError


class ContentFileNotFound(LibraryError):
    status, message = 404, "Content file not found"


class AssetFileNotFound(LibraryError):
    status, message = 404, "Asset file not found"


class NoFileProvided(LibraryError):
    status, message = 400, "No file provided"


class NoFileSelected(LibraryError):
    status, message = 400, "No file selected"


class TypeNotAllowed(LibraryError):
    status, message = 400, "File type not allowed"


class ContentMismatch(LibraryError):
    status, message = 400, "File content does not match its type"


class DiskFull(LibraryError):
    status, message = 507, "There is no room for the file. Please tell the operators."
