"""Signatures of links: HMAC-SHA256 (RFC 2104) over what a link grants."""

import hmac


def derive_key(secret: str, purpose: str) -> str:
    """A key for one purpose, 64 hexadecimal digits: who holds it (nginx) cannot make tokens with it."""
    return hmac.digest(secret.encode(), purpose.encode(), "sha256").hex()


def sign(key: str, *parts: str) -> str:
    """64 hexadecimal digits over `parts`, none of which may contain a line break."""
    return hmac.digest(key.encode(), "\n".join(parts).encode(errors="surrogatepass"), "sha256").hex()


def verify(key: str, signature: str, *parts: str) -> bool:
    """Whether `signature` is the one of `parts`, compared in constant time."""
    return hmac.compare_digest(signature.encode(errors="replace"), sign(key, *parts).encode())
