"""What tests of embedded servers share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder outside pytest's own: another run closes that to the user that PostgreSQL runs as under root."""
    with tempfile.TemporaryDirectory(prefix="library-tests-") as folder:
        yield Path(folder)
