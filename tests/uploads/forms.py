"""What a client sends: `multipart/form-data`, byte by byte, so that tests may send what no library would."""

BOUNDARY = "----a-boundary-of-the-tests"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
ITEM = {"content_type": "story", "subject_area": "math", "age_range": "3-5"}


def field(name: str, value: str) -> bytes:
    """A part that is a plain field."""
    return _part(f'name="{name}"', value.encode())


def file(data: bytes, filename: str, name: str = "file") -> bytes:
    """A part that is a file; quotes and line breaks in its name are escaped as browsers do."""
    escaped = filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    return _part(f'name="{name}"; filename="{escaped}"', data, "Content-Type: application/octet-stream\r\n")


def form(*parts: bytes) -> bytes:
    """The body of these parts."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def upload_form(data: bytes, filename: str, fields: dict[str, str]) -> bytes:
    """The body of an upload: its fields, then its file."""
    return form(*(field(name, value) for name, value in fields.items()), file(data, filename))


def _part(disposition: str, data: bytes, more: str = "") -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n"
    return head.encode() + data + b"\r\n"
