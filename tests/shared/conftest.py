"""Outages are met with the impatience of a real server."""

import pytest


@pytest.fixture(autouse=True)
def patience() -> None:
    """None."""
