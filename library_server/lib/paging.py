"""Which part of a list is asked for, and how the answer describes it."""

from dataclasses import dataclass

DEFAULT_PER_PAGE = 20
MAX_PER_PAGE = 50
_FAR_BEYOND_ANY_ROW = 10**15


@dataclass(frozen=True)
class Window:
    """`limit` rows from `offset` on (both in rows, `limit` 1 to 50)."""

    offset: int
    limit: int

    def describe(self, total: int) -> dict[str, int | bool]:
        """The contract's ``pagination`` object for a list of `total` rows."""
        return {
            "page": self.offset // self.limit + 1,
            "per_page": self.limit,
            "total": total,
            "pages": -(-total // self.limit),
            "has_next": self.offset + self.limit < total,
            "has_prev": self.offset > 0,
        }


def window(page: int | None, per_page: int | None, limit: int | None, offset: int | None) -> Window:
    """The window of ``page``/``per_page`` or of ``limit``/``offset``, at most 50 rows wide."""
    width = min(limit or per_page or DEFAULT_PER_PAGE, MAX_PER_PAGE)
    first = offset if offset is not None else ((page or 1) - 1) * width
    return Window(min(first, _FAR_BEYOND_ANY_ROW), width)
