"""The blueprint that every feature uses."""

from typing import Any

from flask import Blueprint


class LibraryBlueprint(Blueprint):
    """A blueprint whose routes answer with and without a trailing slash, and never redirect.

    A redirect makes some clients drop their Authorization header.
    """

    def add_url_rule(self, rule: str, *args: Any, **options: Any) -> None:
        """As Flask's, with our two defaults for the rule."""
        options.setdefault("strict_slashes", False)
        options.setdefault("merge_slashes", False)
        super().add_url_rule(rule, *args, **options)
