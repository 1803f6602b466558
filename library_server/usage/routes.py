"""Reports over HTTP, for editors: parse, ask, status."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from flask import Response

from library_server.accounts.guards import current_actor, require_editor
from library_server.catalog import queries as catalog
from library_server.catalog.errors import ContentNotFound
from library_server.catalog.models import ContentItem
from library_server.catalog.schemas import title_of
from library_server.usage import queries, replies
from library_server.usage.queries import TOP, Used
from library_server.usage.schemas import ReportQuery
from library_server.web.blueprints import LibraryBlueprint
from library_server.web.inputs import load_query
from library_server.web.openapi import document
from library_server.web.responses import revalidated

bp = LibraryBlueprint("usage", __name__, url_prefix="/content/analytics")

_SUMMARY_AS_CSV = (
    "content_id,title,subject_area,age_range,views,downloads\r\n7,The Itsy Bitsy Spider,phonemic_awareness,3-5,42,9\r\n"
)
_ITEM_AS_CSV = "date,views,downloads\r\n2026-01-05,42,9\r\n"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


@bp.get("/summary")
@document(replies.Summary, query=ReportQuery, csv=_SUMMARY_AS_CSV)
@require_editor
def summary() -> Response:
    """Views and downloads of the whole library: in all, by item, subject, age range and day.

    As CSV: a line for each item that was used, the most used first.
    """
    query = load_query(ReportQuery)
    days = query.days
    if query.format == "csv":
        lines = ((used.name, *_about(item), used.views, used.downloads) for item, used in queries.by_item(days))
        header = ("content_id", "title", "subject_area", "age_range", "views", "downloads")
        return _csv("library-usage", header, lines)
    return revalidated(
        {
            "start": days.first,
            "end": days.last,
            **_numbers(queries.totals(days)),
            "top_items": [
                {"content_id": used.name, "title": _about(item)[0], **_numbers(used)}
                for item, used in queries.by_item(days, TOP)
            ],
            "by_subject": _by_name(queries.by_column(days, ContentItem.subject_area)),
            "by_age_range": _by_name(queries.by_column(days, ContentItem.age_range)),
            "per_day": _per_day(queries.by_day(days)),
        }
    )


@bp.get("/items/<int:item_id>")
@document(replies.ItemReport, query=ReportQuery, csv=_ITEM_AS_CSV, fails=(ContentNotFound,))
@require_editor
def item_report(item_id: int) -> Response:
    """Views and downloads of one item, in all and by day. As CSV: a line a day."""
    query = load_query(ReportQuery)
    item, days = catalog.get_item(current_actor(), item_id, "all"), query.days
    per_day = queries.by_day(days, item_id)
    if query.format == "csv":
        lines = ((used.name.isoformat(), used.views, used.downloads) for used in per_day)
        return _csv(f"item-{item_id}-usage", ("date", "views", "downloads"), lines)
    return revalidated(
        {
            "start": days.first,
            "end": days.last,
            "content_id": item.id,
            "title": title_of(item),
            "views": sum(used.views for used in per_day),
            "downloads": sum(used.downloads for used in per_day),
            "per_day": _per_day(per_day),
        }
    )


def _about(item: ContentItem | None) -> tuple[str | None, str | None, str | None]:
    return (title_of(item), item.subject_area, item.age_range) if item else (None, None, None)


def _numbers(used: Used) -> dict[str, int]:
    return {"views": used.views, "downloads": used.downloads}


def _by_name(found: Sequence[Used]) -> dict[str, dict[str, int]]:
    return {used.name: _numbers(used) for used in found if used.name is not None}


def _per_day(found: Sequence[Used]) -> list[dict[str, Any]]:
    return [{"date": used.name, **_numbers(used)} for used in found]


def _csv(name: str, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> Response:
    """RFC 4180, for spreadsheets: a cell that would be a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    for line in lines:
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in line])
    response = Response(text.getvalue(), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response.headers["Cache-Control"] = "no-store"
    return response
