"""The curriculum's three tables, as the integration guide has them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from library_server.extensions import Base


class Row(Base):
    """A row of any of the three. Times are UTC without a zone."""

    __abstract__ = True

    id: Mapped[int] = mapped_column(Integer, primary_key=True, sort_order=-1)
    created_at: Mapped[datetime | None] = mapped_column(DateTime, sort_order=100)
    updated_at: Mapped[datetime | None] = mapped_column(DateTime, sort_order=101)


class HeggertyLesson(Row):
    """A phonemic-awareness lesson."""

    __tablename__ = "heggerty_curriculum_data"

    lesson_number: Mapped[int] = mapped_column(Integer)
    skill_focus: Mapped[str] = mapped_column(String(100))
    activity_type: Mapped[str] = mapped_column(String(50))
    content_data: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    audio_file_path: Mapped[str | None] = mapped_column(String(500))
    difficulty_progression: Mapped[str | None] = mapped_column(String(20))


class NurseryRhyme(Row):
    """A nursery rhyme."""

    __tablename__ = "nursery_rhyme_data"

    rhyme_name: Mapped[str] = mapped_column(String(100))
    lyrics: Mapped[str | None] = mapped_column(Text)
    audio_file_path: Mapped[str | None] = mapped_column(String(500))
    learning_objectives: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    motor_skills: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    age_appropriate: Mapped[str | None] = mapped_column(String(20))


class CurriculumUnit(Row):
    """A unit of a subject other than phonemic awareness."""

    __tablename__ = "multi_subject_curriculum"

    subject: Mapped[str] = mapped_column(String(50))
    grade_level: Mapped[str] = mapped_column(String(20))
    unit_title: Mapped[str] = mapped_column(String(200))
    lesson_sequence: Mapped[int] = mapped_column(Integer)
    learning_objectives: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    content_structure: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    assessment_criteria: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    resources: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    difficulty_progression: Mapped[str | None] = mapped_column(String(20))
    estimated_duration: Mapped[int | None] = mapped_column(Integer)  # minutes
