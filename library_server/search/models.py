"""The table ``library_search``, which the triggers of migration 0003 keep: what search reads of an item."""

from typing import Any

from sqlalchemy import BigInteger, SmallInteger, Text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from library_server.extensions import Base


class SearchEntry(Base):
    """One item, by its `id`. `title` is folded (`words.fold`); `popularity` is the logarithm of its uses."""

    __tablename__ = "library_search"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    active: Mapped[bool | None]
    download_priority: Mapped[int | None] = mapped_column(SmallInteger)
    popularity: Mapped[int] = mapped_column(SmallInteger)
    content_type: Mapped[str | None] = mapped_column(Text)
    subject_area: Mapped[str | None] = mapped_column(Text)
    age_range: Mapped[str | None] = mapped_column(Text)
    difficulty_level: Mapped[str | None] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    document: Mapped[Any] = mapped_column(TSVECTOR)
