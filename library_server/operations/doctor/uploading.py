"""Whether uploads of MAX_UPLOAD_SIZE pass the proxy, and at once; without sending one."""

from collections.abc import Iterator
from http.client import HTTPResponse

from library_server.config import MIB, current_config
from library_server.operations.doctor.findings import fail, fine, warn
from library_server.operations.doctor.visits import Address
from library_server.operations.schema_report import Finding

NAME = "uploads"
FORM_BYTES = 1024  # around the file
PATIENCE_SECONDS = 3.0


def announced(address: Address) -> Iterator[Finding]:
    """What comes back when the largest upload is announced, by nobody who may, and nothing of it is sent.

    The server refuses it by its head alone. A proxy that takes no such body says 413; one that stores uploads before it
    passes them on waits for the body, and so is silent.
    """
    size = current_config().max_upload_size
    told = f"of MAX_UPLOAD_SIZE ({size} bytes)"
    status = _status(address, size + FORM_BYTES)
    if status == 413:
        said = f"files {told} are refused by the proxy (413)."
        room = -(-size // MIB) + 1
        mend = f"in nginx `client_max_body_size {room}m;` at /api/content/upload, or a lower MAX_UPLOAD_SIZE."
        yield fail(NAME, said, mend)
    elif status is None:
        said = (
            f"files {told} pass, but the proxy stores each before it passes it on: slower, and its disk must hold them."
        )
        yield warn(NAME, said, "in nginx `proxy_request_buffering off;` at /api/content/upload.")
    elif status == 401:
        yield fine(NAME, f"files {told} pass, and at once.")
    elif status == 429:
        yield warn(NAME, "too many requests from here (429).", "wait a minute.")
    else:
        mend = "let the proxy send POST /api/content/upload to the Library Server, unchanged."
        yield fail(NAME, f"an upload without a token is answered by {status} instead of 401.", mend)


def _status(address: Address, length: int) -> int | None:
    """Of the answer to a POST whose body is never sent; None: no answer while it waits for the body."""
    connection = address.connect()
    try:
        connection.putrequest("POST", address.prefix + "/api/content/upload")
        headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(length)}
        for name, value in (headers | {"Expect": "100-continue", "Connection": "close"}).items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.sock.settimeout(PATIENCE_SECONDS)
        with HTTPResponse(connection.sock, method="POST") as response:
            try:
                response.begin()  # which reads over a 100
            except TimeoutError:
                return None
            return response.status
    finally:
        connection.close()
