"""Reads of ``parent`` and ``child``, with just the columns that are there."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import column, func, select, table

from library_server.actor import Kind
from library_server.extensions import db
from library_server.shared import schema

_PARENT = table("parent", column("id"), column("email"))
_CHILD = table("child", column("id"), column("parent_id"))
_MAX_ID = 2**31 - 1


@dataclass(frozen=True)
class User:
    """A row of ``parent`` or ``child``; `parent_id` is the child's, where the database tells."""

    parent_id: int | None = None


def find_user(kind: Kind, user: int) -> User | None:
    """The user, or None: also where the database has no such table."""
    there = schema.columns(kind)
    if "id" not in there or user > _MAX_ID:
        return None
    source = _PARENT if kind == "parent" else _CHILD
    wanted = [source.c.id] + ([source.c.parent_id] if kind == "child" and "parent_id" in there else [])
    row = db.session.execute(select(*wanted).where(source.c.id == user)).first()
    return None if row is None else User(row[1] if len(row) > 1 else None)


def parents_with_email(emails: Collection[str]) -> frozenset[int]:
    """The ids of the parents with one of the (lower-case) `emails`."""
    if not emails or not {"id", "email"} <= schema.columns("parent"):
        return frozenset()
    return frozenset(db.session.scalars(select(_PARENT.c.id).where(func.lower(_PARENT.c.email).in_(emails))))
