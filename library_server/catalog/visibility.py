"""The one predicate that decides which items may be seen; whatever shows items or their files asks it."""

from typing import Literal

from sqlalchemy import ColumnElement, false, true

from library_server.accounts.services import permit_editing
from library_server.actor import Actor
from library_server.catalog.models import ContentItem

Activity = Literal["true", "false", "all"]


def visible(actor: Actor, active: Activity = "true") -> ColumnElement[bool]:
    """The rows that `actor` sees: active ones; an editor may ask for retired ones (``false``) or for all.

    Raises ParentRequired or EditorRequired where anyone else asks.
    """
    if active != "true":
        permit_editing(actor)
    if active == "all":
        return true()
    return shown() if active == "true" else ContentItem.active.is_(false())


def shown() -> ColumnElement[bool]:
    """The rows that everybody sees, in the words of the partial indexes: a missing `active` counts as true."""
    return ContentItem.active.is_not(false())
