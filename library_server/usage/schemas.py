"""Reports: what may be asked."""

from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from library_server.lib.clock import utc_now
from library_server.usage.queries import Days

DEFAULT_DAYS, MOST_DAYS = 30, 366


def _day(value: object) -> object:
    try:
        if isinstance(value, str) and len(value) == len("2026-01-05"):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise ValueError("must be a day like 2026-01-05")


Day = Annotated[date, BeforeValidator(_day)]


def _days(start: date | None, end: date | None) -> Days:
    last = end or utc_now().date()
    return Days(start or last - timedelta(days=DEFAULT_DAYS - 1), last)


class ReportQuery(BaseModel):
    """The query of a report."""

    start: Day | None = Field(None, description="The first day, in UTC; default 30 days back.", examples=["2026-01-01"])
    end: Day | None = Field(
        None, validate_default=True, description="The last day; default today.", examples=["2026-01-31"]
    )
    format: Literal["json", "csv"] = "json"

    @property
    def days(self) -> Days:
        """The days that are asked for."""
        return _days(self.start, self.end)

    @field_validator("end", mode="after")
    @classmethod
    def _a_range(cls, value: date | None, info: ValidationInfo) -> date | None:
        if value is not None and not date(1900, 1, 1) <= value < date(9999, 1, 1):
            raise ValueError("must be a day of these times")
        first, last = _days(info.data.get("start"), value)
        if not 1 <= (last - first).days + 1 <= MOST_DAYS:
            raise ValueError(f"must be 0 to {MOST_DAYS - 1} days after start")
        return value
