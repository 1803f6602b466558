"""The one predicate that decides which items may be seen; whatever shows items or their files asks it."""

from typing import Any, Literal

from sqlalchemy import ColumnElement, false, true

from library_server.accounts.services import permit_editing
from library_server.actor import Actor
from library_server.catalog.models import ContentItem

Activity = Literal["true", "false", "all"]


def visible(actor: Actor, active: Activity = "true", of: Any = ContentItem) -> ColumnElement[bool]:
    """The rows that `actor` sees: active ones; an editor may ask for retired ones (``false``) or for all.

    `of` has the column `active`: the items, or what is kept of them elsewhere. Raises ParentRequired or EditorRequired
    where anyone else asks.
    """
    if active != "true":
        permit_editing(actor)
    if active == "all":
        return true()
    return shown(of) if active == "true" else of.active.is_(false())


def shown(of: Any = ContentItem) -> ColumnElement[bool]:
    """The rows that everybody sees, in the words of the partial indexes: a missing `active` counts as true."""
    return of.active.is_not(false())
