"""Reads of the curriculum."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, true

from library_server.catalog.queries import MAX_ID, find_page
from library_server.curriculum.errors import RowNotFound
from library_server.curriculum.models import Row
from library_server.curriculum.resources import Resource
from library_server.extensions import db
from library_server.lib.paging import Window


def get_row(resource: Resource, row_id: int, *, lock: bool = False) -> Row:
    """The row; with `lock`, nobody else changes it until the transaction ends. Raises RowNotFound."""
    row = db.session.get(resource.model, row_id, with_for_update=lock or None) if 0 < row_id <= MAX_ID else None
    if row is None:
        raise RowNotFound(f"{resource.noun} not found")
    return row


def list_rows(resource: Resource, filters: Mapping[str, Any], window: Window) -> tuple[list[Row], int]:
    """The rows in `window` and how many there are in all. Two statements, whatever the size."""
    wanted = and_(true(), *(resource.filters[name](value) for name, value in filters.items() if value is not None))
    return find_page(resource.model, wanted, resource.order, window)
