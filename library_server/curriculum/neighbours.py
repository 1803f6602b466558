"""The units before and after a unit."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import url_for
from sqlalchemy import func, select, tuple_

from library_server.curriculum.models import CurriculumUnit as Unit
from library_server.extensions import db

NONE: Mapping[str, Any] = {"previous": None, "next": None}


def find_neighbours(units: Sequence[Any]) -> dict[int, Mapping[str, Any]]:
    """Of each unit, by its id, ``previous`` and ``next`` (``id``, ``title``, ``url``) in its subject and grade level.

    One statement, however many units; it reads the units of their subjects and grade levels.
    """
    if not units:
        return {}
    order: Any = {"partition_by": (Unit.subject, Unit.grade_level), "order_by": (Unit.lesson_sequence, Unit.id)}
    placed = (
        select(
            Unit.id,
            *(side(column).over(**order) for side in (func.lag, func.lead) for column in (Unit.id, Unit.unit_title)),
        )
        .where(tuple_(Unit.subject, Unit.grade_level).in_({(unit.subject, unit.grade_level) for unit in units}))
        .subquery()
    )
    rows = db.session.execute(select(placed).where(placed.c.id.in_([unit.id for unit in units])))
    found = {
        unit_id: {"previous": _link(before, its_title), "next": _link(after, title)}
        for unit_id, before, its_title, after, title in rows
    }
    return {unit.id: found.get(unit.id, NONE) for unit in units}  # one without a subject stands by itself


def _link(unit_id: int | None, title: str) -> dict[str, Any] | None:
    if unit_id is None:
        return None
    return {"id": unit_id, "title": title, "url": url_for("library.curriculum.get_unit", row_id=unit_id)}
