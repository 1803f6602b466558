"""Time as the shared database keeps it."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time in UTC without a zone, as the TIMESTAMP columns hold it."""
    return datetime.now(UTC).replace(tzinfo=None)
