"""How routes fail, for the API's description: each error with the words and headers of its answer."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, Field

from library_server.errors import LibraryError

Failure = LibraryError | type[LibraryError]

REASONS = {
    200: "OK",
    201: "Created",
    206: "The ranges that were asked for",
    304: "Not modified",
    400: "The input is wrong; the message says what to mend",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    409: "Refused because of what refers to it",
    412: "Changed since `If-Match` was read",
    413: "Too large",
    416: "No such range in the file",
    429: "Too many requests",
    500: "A fault of ours; `request_id` finds it in our log",
    503: "Unavailable for the moment",
    507: "The disk is full",
}
SHARED = {401: "NotSignedIn", 429: "TooManyRequests", 500: "Fault", 503: "Unavailable"}  # alike on most routes
LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
HEADERS: dict[str, tuple[str, Any]] = {
    "Accept-Ranges": ("Parts of the file can be asked for.", "bytes"),
    "Content-Range": ("Which bytes of how many; `*` where none could be given.", "bytes 0-1023/48213"),
    "ETag": ("For `If-None-Match` and `If-Match`.", '"5f0c2a9e"'),
    "Last-Modified": ("When the file was last changed.", "Mon, 05 Jan 2026 10:00:00 GMT"),
    "Location": ("Where the new one is.", "/content/7"),
    "Retry-After": ("Seconds to wait.", 5),
    "WWW-Authenticate": ("How to sign in.", "Bearer"),
    "X-RateLimit-Limit": ("Requests that the limit allows.", 600),
    "X-RateLimit-Remaining": ("Requests that are left.", 0),
    "X-RateLimit-Reset": ("When there are new ones, in seconds since 1970.", 1767610800),
    "X-Request-ID": ("The request's name, in our log too.", "4f1c9a0be2d84c7796e0a1b2c3d4e5f6"),
}


class FieldError(BaseModel):
    """What to mend in one field."""

    field: str
    message: str


class Error(BaseModel):
    """Every error of every route. `errors` is there when it can be told field by field, `request_id` from 500 on."""

    message: str
    errors: list[FieldError] | None = None
    request_id: str | None = None


class TooMany(BaseModel):
    """The answer to more requests than the limit allows."""

    message: str = Field(examples=["Rate limit exceeded. Please try again later."])
    retry_after_seconds: int = Field(examples=[5])


def header_components() -> dict[str, Any]:
    """The headers that responses refer to."""
    return {
        name: {
            "description": text,
            "schema": {"type": "integer" if isinstance(example, int) else "string"},
            "example": example,
        }
        for name, (text, example) in HEADERS.items()
    }


def headers(*names: str) -> dict[str, Any]:
    """The headers of a response, by reference."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def responses(failures: Iterable[Failure]) -> dict[int, dict[str, Any]]:
    """A response for each status that these failures have, with an example for each message."""
    found: dict[int, dict[str, Any]] = {}
    for failure in failures:
        error = failure() if isinstance(failure, type) else failure
        content = {"schema": {"$ref": "#/components/schemas/Error"}, "examples": {}}
        response = found.setdefault(
            error.status,
            {"description": REASONS[error.status], "headers": {}, "content": {"application/json": content}},
        )
        named = response["content"]["application/json"]["examples"]
        named[error.message.partition(":")[0]] = {"value": _body(error)}
        response["headers"] |= headers(*error.headers, *(["X-Request-ID"] if error.status >= 500 else []))
    return found


def too_many(example: Any) -> dict[str, Any]:
    """The response to more requests than the limit allows."""
    content = {"schema": {"$ref": "#/components/schemas/TooMany"}, "example": example}
    return {
        "description": REASONS[429],
        "headers": headers("Retry-After", *LIMITS),
        "content": {"application/json": content},
    }


def _body(error: LibraryError) -> dict[str, Any]:
    body: dict[str, Any] = {"message": error.message}
    if error.problems:
        body["errors"] = [problem._asdict() for problem in error.problems]
    return body | ({"request_id": HEADERS["X-Request-ID"][1]} if error.status >= 500 else {})
