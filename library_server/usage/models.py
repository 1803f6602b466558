"""What was used, by item, event and hour; nobody is named."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from library_server.extensions import Base


class ItemUsage(Base):
    """How often an item had an event (``view`` or ``download``) in the hour that begins at `hour` (UTC)."""

    __tablename__ = "library_usage"

    content_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    event: Mapped[str] = mapped_column(String(10), primary_key=True)
    hour: Mapped[datetime] = mapped_column(DateTime, primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    reported: Mapped[int] = mapped_column(BigInteger)  # how much of it is in system_analytics


class UsageBatch(Base):
    """A batch of counts that has been written. A batch that comes again is known by its id."""

    __tablename__ = "library_usage_batch"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    written_at: Mapped[datetime] = mapped_column(DateTime)
