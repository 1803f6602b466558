"""`.ci/audit.py`: a hole fails, a missing network does not. pip-audit's answers are written down."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parent.parent.parent / ".ci" / "audit.py"
FINE = {"name": "flask", "version": "3.1.3", "vulns": []}
HOLED = {"name": "mako", "version": "1.4.3", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.4.4"]}]}
UNKNOWN = {"name": "wrapt", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        (json.dumps({"dependencies": [FINE]}), 0, ""),
        (json.dumps({"dependencies": [FINE, HOLED]}), 1, "!!! HOLE: mako 1.4.3: PYSEC-1, mended in 1.4.4\n"),
        (json.dumps({"dependencies": [FINE, UNKNOWN]}), 0, "nothing is known of 1 of 2 packages, such as wrapt\n"),
        (json.dumps({"dependencies": [HOLED, UNKNOWN]}), 1, "such as wrapt\n"),
        ("", 0, "!!! NOT AUDITED for known vulnerabilities: pip-audit said nothing\n"),
    ],
)
def test_only_a_hole_fails(said: str, status: int, told: str, tmp_path: Path) -> None:
    (tmp_path / "pip_audit.py").write_text(f"print({said!r})")
    found = audit({"PYTHONPATH": str(tmp_path)})
    assert found[0] == status
    assert found[1].endswith(told) if told else not found[1]


def test_without_a_network_it_says_so() -> None:
    status, told = audit({"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"})
    assert (status, told.startswith("!!! NOT AUDITED")) == (0, True)


def audit(environment: dict[str, str]) -> tuple[int, str]:
    """Exit status, and what it says."""
    done = subprocess.run(
        [sys.executable, str(AUDIT)], env=os.environ | environment, capture_output=True, text=True, timeout=100
    )
    return done.returncode, done.stderr
