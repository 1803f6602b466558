"""The one predicate that decides which items may be seen; whatever shows items or their files asks it."""

from functools import cache
from typing import Any, Literal

from sqlalchemy import ColumnElement, false, true

from library_server.accounts.services import permit_editing
from library_server.actor import Actor
from library_server.catalog.models import ContentItem

Activity = Literal["true", "false", "all"]


def visible(actor: Actor, active: Activity = "true", of: Any = ContentItem) -> ColumnElement[bool]:
    """The rows that `actor` sees: active ones; an editor may ask for retired ones (``false``) or for all.

    `of` has the column `active`: the items, or what is kept of them elsewhere. Raises ParentRequired or EditorRequired
    where anyone else asks. Made once for each `active` and `of`, so that a statement can be made once for it.
    """
    if active != "true":
        permit_editing(actor)
    return _rows(active, of)


@cache
def _rows(active: Activity, of: Any) -> ColumnElement[bool]:
    if active == "all":
        return true()
    return shown(of) if active == "true" else of.active.is_(false())


def shown(of: Any = ContentItem) -> ColumnElement[bool]:
    """The rows that everybody sees: a missing `active` counts as true."""
    return of.active.is_not(false())


def states(active: Activity) -> list[bool]:
    """What `visible` lets through, where a missing `active` is kept as true: of counts, never of what is shown."""
    return [state for state in (True, False) if active in ("all", str(state).lower())]
