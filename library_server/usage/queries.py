"""Reports of what was used."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Date, and_, cast, func, select
from sqlalchemy.orm import load_only

from library_server.catalog.models import ContentItem
from library_server.extensions import db
from library_server.usage.models import ItemUsage

TOP = 10

_VIEWS = func.coalesce(func.sum(ItemUsage.count).filter(ItemUsage.event == "view"), 0)
_DOWNLOADS = func.coalesce(func.sum(ItemUsage.count).filter(ItemUsage.event == "download"), 0)
_TOLD = (
    *(ContentItem.title, ContentItem.content_metadata, ContentItem.file_path, ContentItem.content_type),
    *(ContentItem.subject_area, ContentItem.age_range),
)
_OF_ITEM = and_(ContentItem.id == ItemUsage.content_id)


class Used(NamedTuple):
    """Views and downloads of whatever `name` names."""

    name: Any
    views: int
    downloads: int


class Days(NamedTuple):
    """From `first` to `last`, both included, in UTC."""

    first: date
    last: date

    def covers(self) -> ColumnElement[bool]:
        """The rows of these days."""
        start = datetime.combine(self.first, datetime.min.time())
        end = datetime.combine(self.last + timedelta(days=1), datetime.min.time())
        return and_(ItemUsage.hour >= start, ItemUsage.hour < end)


def totals(days: Days) -> Used:
    """Everything that was used."""
    views, downloads = db.session.execute(select(_VIEWS, _DOWNLOADS).where(days.covers())).one()
    return Used(None, int(views), int(downloads))


def by_item(days: Days, most: int | None = None) -> Iterator[tuple[ContentItem | None, Used]]:
    """Every used item, with what tells its title and where it belongs, and its numbers, the most used first.

    None for one that is gone. Some hundreds are in memory at once.
    """
    used = (
        select(ItemUsage.content_id, _VIEWS.label("views"), _DOWNLOADS.label("downloads"))
        .where(days.covers())
        .group_by(ItemUsage.content_id)
        .order_by((_VIEWS + _DOWNLOADS).desc(), ItemUsage.content_id)
        .limit(most)
        .subquery()
    )
    statement = (
        select(ContentItem, used.c.content_id, used.c.views, used.c.downloads)
        .outerjoin_from(used, ContentItem, ContentItem.id == used.c.content_id)
        .order_by((used.c.views + used.c.downloads).desc(), used.c.content_id)
        .options(load_only(*_TOLD))
        .execution_options(yield_per=500)
    )
    for item, item_id, views, downloads in db.session.execute(statement):
        yield item, Used(item_id, int(views), int(downloads))


def by_column(days: Days, column: Any) -> list[Used]:
    """By the values of a column of items; those of items that are gone have None."""
    statement = (
        select(column, _VIEWS, _DOWNLOADS)
        .select_from(ItemUsage)
        .outerjoin(ContentItem, _OF_ITEM)
        .where(days.covers())
        .group_by(column)
        .order_by(column)
    )
    return _used(db.session.execute(statement).all())


def by_day(days: Days, item_id: int | None = None) -> list[Used]:
    """Every day of `days`, those without use too."""
    day = cast(ItemUsage.hour, Date)
    wanted = days.covers() if item_id is None else and_(days.covers(), ItemUsage.content_id == item_id)
    found = {
        used.name: used
        for used in _used(db.session.execute(select(day, _VIEWS, _DOWNLOADS).where(wanted).group_by(day)).all())
    }
    count = (days.last - days.first).days + 1
    every = [days.first + timedelta(days=number) for number in range(count)]
    return [found.get(each, Used(each, 0, 0)) for each in every]


def _used(rows: Sequence[Any]) -> list[Used]:
    return [Used(name, int(views), int(downloads)) for name, views, downloads in rows]
