"""The table ``library_search``, which the triggers of migration 0003 keep: what search reads of an item."""

from typing import Any

from sqlalchemy import BigInteger, Text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from library_server.extensions import Base


class SearchEntry(Base):
    """One item, by its `id`.

    `kind` is the number that ``library_kind`` has for its four filters; `standing` is its place by priority and
    popularity, the smaller the better. `title` is folded (`words.fold`); each of its words has a space before it.
    """

    __tablename__ = "library_search"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    active: Mapped[bool | None]
    kind: Mapped[int]
    standing: Mapped[int]
    title: Mapped[str] = mapped_column(Text)
    document: Mapped[Any] = mapped_column(TSVECTOR)
