"""Writes to the curriculum. Each function commits, then tells: `curriculum_changed` is sent after the commit."""

from collections.abc import Collection, Mapping
from typing import Any

from blinker import Signal

from library_server.accounts.services import permit_editing
from library_server.actor import Actor
from library_server.catalog.services import assign
from library_server.curriculum.models import Row
from library_server.curriculum.queries import get_row
from library_server.curriculum.resources import Resource
from library_server.errors import PreconditionFailed
from library_server.extensions import db
from library_server.lib.clock import utc_now

curriculum_changed = Signal(
    "A row was created, changed or deleted; sent with ``name`` (of the resource) and ``row_id`` (None: many rows)."
)


def create_row(actor: Actor, resource: Resource, values: Mapping[str, Any]) -> Row:
    """Adds a row with these column `values`. Raises ParentRequired or EditorRequired."""
    permit_editing(actor)
    now = utc_now()
    row = resource.model(**values, created_at=now, updated_at=now)
    db.session.add(row)
    return _commit(resource, row)


def change_row(
    actor: Actor, resource: Resource, row_id: int, values: Mapping[str, Any], expected: Collection[str] | None = None
) -> Row:
    """Sets the columns in `values`, and no other.

    Raises ParentRequired, EditorRequired, RowNotFound; PreconditionFailed when the row's revision is not among
    `expected`.
    """
    row = _locked(actor, resource, row_id, expected)
    assign(row, values)
    return _commit(resource, row)


def delete_row(actor: Actor, resource: Resource, row_id: int, expected: Collection[str] | None = None) -> None:
    """Removes the row for good. Its recording stays: `flask library sweep` tells of files that nobody uses.

    Raises as `change_row` does.
    """
    db.session.delete(_locked(actor, resource, row_id, expected))
    db.session.commit()
    curriculum_changed.send(name=resource.name, row_id=row_id)


def _locked(actor: Actor, resource: Resource, row_id: int, expected: Collection[str] | None) -> Row:
    permit_editing(actor)
    row = get_row(resource, row_id, lock=True)
    if expected is not None and resource.revision(row) not in expected:
        raise PreconditionFailed
    return row


def _commit(resource: Resource, row: Row) -> Row:
    db.session.flush()
    db.session.refresh(row)  # before the commit: afterwards the row is anybody's to change or delete
    db.session.commit()
    curriculum_changed.send(name=resource.name, row_id=row.id)
    return row
