"""How many workers there are where nobody says so."""

from pathlib import Path

import pytest

from library_server.config import MIB, Config
from library_server.operations import serving

GIB = 1024 * MIB
SETTINGS = {"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "redis://h", "APP_ENV": "testing", "SECRET_KEY": "x"}


@pytest.fixture
def group(tmp_path: Path) -> tuple[Path, Path]:
    """The root of control groups, and the file that names one two floors below it, which is made."""
    (tmp_path / "cgroup/slice/service").mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("4:memory:/elsewhere\n0::/slice/service\n")
    return tmp_path / "cgroup", own


@pytest.mark.parametrize("folder", [".", "slice", "slice/service"])
def test_the_least_limit_on_the_way_counts(group: tuple[Path, Path], folder: str) -> None:
    root, own = group
    before = serving.usable_cores(root, own)
    (root / "slice/cpu.max").write_text("max 100000\n")
    (root / "slice/memory.max").write_text("max\n")
    assert serving.usable_cores(root, own) == before
    (root / folder / "cpu.max").write_text("50000 100000\n")
    (root / folder / "memory.max").write_text(f"{300 * MIB}\n")
    assert serving.usable_cores(root, own) == 1
    assert serving.usable_bytes(root, own) == 300 * MIB


def test_without_control_groups_the_machine_counts(tmp_path: Path) -> None:
    assert serving.usable_cores(tmp_path, tmp_path / "none") >= 1
    assert serving.usable_bytes(tmp_path, tmp_path / "none") > 256 * MIB


@pytest.mark.parametrize(
    ("cores", "memory", "workers"),
    [(1, 8 * GIB, 2), (4, 8 * GIB, 8), (16, 2 * GIB, 10), (8, 256 * MIB, 2), (2, 100 * MIB, 2), (64, 512 * GIB, 12)],
)
def test_workers_are_as_many_as_cores_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, cores: int, memory: int, workers: int
) -> None:
    monkeypatch.setattr(serving, "usable_cores", lambda: cores)
    monkeypatch.setattr(serving, "usable_bytes", lambda: memory)
    assert serving.sized_workers() == workers


def test_the_settings_win() -> None:
    assert Config.load(SETTINGS).workers is None
    assert Config.load(SETTINGS | {"WORKERS": "3"}).workers == 3
