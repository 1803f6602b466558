"""The answers of reports, for the API's description."""

from pydantic import BaseModel


class Usage(BaseModel):
    """How often something was seen and downloaded."""

    views: int
    downloads: int


class DayUsage(Usage):
    """Of a day, in UTC."""

    date: str


class ItemUsage(Usage):
    """Of an item; one that was purged has no title."""

    content_id: int
    title: str | None


class Summary(Usage):
    """Of the whole library, from `start` to `end`."""

    start: str
    end: str
    top_items: list[ItemUsage]
    by_subject: dict[str, Usage]
    by_age_range: dict[str, Usage]
    per_day: list[DayUsage]


class ItemReport(ItemUsage):
    """Of one item, from `start` to `end`."""

    start: str
    end: str
    per_day: list[DayUsage]
