"""Reading a ``Content-Disposition`` back."""

import re
from urllib.parse import unquote_to_bytes


def parse(header):
    """``filename*`` and ``filename`` of an attachment, as RFC 6266 and RFC 8187 spell them and no other way."""
    found = re.fullmatch(
        r'attachment; filename="(?P<plain>[ !#-\[\]-~]*)"; '
        r"filename\*=UTF-8''(?P<name>(?:%[0-9A-F]{2}|[A-Za-z0-9!#$&+.^_`|~-])+)",
        header,
    )
    assert found, header
    return unquote_to_bytes(found["name"]).decode(), found["plain"]
