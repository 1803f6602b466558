"""Who is asking."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["parent", "child"]


@dataclass(frozen=True)
class Actor:
    """A signed-in parent or child.

    Parents and children are numbered apart, so an id alone names nobody: use `user_id`.
    """

    id: int
    kind: Kind
    may_edit: bool | None = False  # None: it cannot be told at the moment

    @property
    def user_id(self) -> str:
        """``12`` for parent 12, ``child-12`` for child 12: how Redis keys name a user."""
        return str(self.id) if self.kind == "parent" else f"child-{self.id}"
