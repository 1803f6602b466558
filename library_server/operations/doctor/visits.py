"""How the doctor talks to the server: plain HTTP/1.1, each request on a connection of its own, in bounded time."""

import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.message import Message
from http.client import HTTPConnection, HTTPSConnection
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0
LARGEST_BYTES = 4 * 1024 * 1024  # of an answer, what is read of it


class NoAddress(ValueError):
    """A URL that cannot be asked; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What came back, and the second since 1970, by our clock, in the middle of the exchange."""

    status: int
    headers: Message
    body: bytes
    at: float

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one where it is none."""
        try:
            told = json.loads(self.body)
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}

    @property
    def message(self) -> str:
        """Our sentence, where the answer is one of our errors."""
        return str(self.json.get("message", ""))

    @property
    def by_gunicorn(self) -> bool:
        """Whether nobody stands between: a proxy puts its own name here."""
        return self.headers.get("Server", "").startswith("gunicorn")


@dataclass(frozen=True)
class Address:
    """Where the server is; `source` is the address that we ask from, where that matters."""

    secure: bool
    host: str
    port: int
    prefix: str
    source: str | None = None

    @classmethod
    def of(cls, url: str) -> "Address":
        """From ``http://library.example.org``. Raises NoAddress."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise NoAddress("URL must be like https://library.example.org") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise NoAddress("URL must be like https://library.example.org")
        if parts.username is not None or parts.password is not None:
            raise NoAddress("URL must not hold a password")
        secure = parts.scheme == "https"
        return cls(secure, parts.hostname, port or (443 if secure else 80), parts.path.rstrip("/"))

    def asked_from(self, source: str | None) -> "Address":
        return replace(self, source=source)

    def connect(self) -> HTTPConnection:
        """A connection that is open. Raises OSError."""
        source = (self.source, 0) if self.source else None
        if self.secure:
            context = ssl.create_default_context()
            connection: HTTPConnection = HTTPSConnection(
                self.host, self.port, timeout=TIMEOUT_SECONDS, source_address=source, context=context
            )
        else:
            connection = HTTPConnection(self.host, self.port, timeout=TIMEOUT_SECONDS, source_address=source)
        connection.connect()
        return connection

    def ask(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a GET. Raises OSError and http.client.HTTPException."""
        connection = self.connect()
        try:
            started = time.time()
            connection.request("GET", self.prefix + target, headers={"Connection": "close", **(headers or {})})
            response = connection.getresponse()
            at = (started + time.time()) / 2
            return Answer(response.status, response.headers, response.read(LARGEST_BYTES), at)
        finally:
            connection.close()

    def ends(self) -> tuple[str, str]:
        """The addresses of our end of a connection and of the other one."""
        connection = self.connect()
        try:
            opened: socket.socket = connection.sock
            return _plain(opened.getsockname()[0]), _plain(opened.getpeername()[0])
        finally:
            connection.close()


def _plain(address: str) -> str:
    """Without an IPv6 address's zone, and an IPv4 address in its own form."""
    parsed = ip_address(address.partition("%")[0])
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
