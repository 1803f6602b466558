"""The answers of reports, for the API's description."""

from pydantic import BaseModel, Field


class Usage(BaseModel):
    """How often something was seen and downloaded."""

    views: int = Field(examples=[42])
    downloads: int = Field(examples=[9])


class DayUsage(Usage):
    """Of a day, in UTC."""

    date: str = Field(examples=["2026-01-05"])


class ItemUsage(Usage):
    """Of an item; one that was purged has no title."""

    content_id: int = Field(examples=[7])
    title: str | None = Field(examples=["The Itsy Bitsy Spider"])


class Summary(Usage):
    """Of the whole library, from `start` to `end`."""

    start: str = Field(examples=["2026-01-01"])
    end: str = Field(examples=["2026-01-31"])
    top_items: list[ItemUsage]
    by_subject: dict[str, Usage] = Field(examples=[{"phonemic_awareness": {"views": 42, "downloads": 9}}])
    by_age_range: dict[str, Usage] = Field(examples=[{"3-5": {"views": 42, "downloads": 9}}])
    per_day: list[DayUsage]


class ItemReport(ItemUsage):
    """Of one item, from `start` to `end`."""

    start: str = Field(examples=["2026-01-01"])
    end: str = Field(examples=["2026-01-31"])
    per_day: list[DayUsage]
