"""The table ``content_library``, in the shape that the migrations give it in every database."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, DateTime, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from library_server.extensions import Base


class ContentItem(Base):
    """One item. Times are UTC without a zone; a missing `active` counts as true.

    Where the backend made the table its key is called ``content_id`` and `id` is generated from it.
    """

    __tablename__ = "content_library"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    content_type: Mapped[str] = mapped_column(String(50))
    subject_area: Mapped[str] = mapped_column(String(50))
    age_range: Mapped[str] = mapped_column(String(20))
    title: Mapped[str | None] = mapped_column(String(200))
    description: Mapped[str | None] = mapped_column(Text)
    file_path: Mapped[str | None] = mapped_column(String(500))
    skill_objectives: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    prerequisite_skills: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    content_metadata: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    download_priority: Mapped[int | None] = mapped_column(Integer)
    difficulty_level: Mapped[str | None] = mapped_column(String(20))
    active: Mapped[bool | None] = mapped_column(Boolean)
    usage_count: Mapped[int | None] = mapped_column(Integer)
    average_completion_time: Mapped[int | None] = mapped_column(Integer)  # seconds
    success_rate: Mapped[int | None] = mapped_column(Integer)  # percent
    created_at: Mapped[datetime | None] = mapped_column(DateTime)
    updated_at: Mapped[datetime | None] = mapped_column(DateTime)
