"""Asks PyPI for known holes in what constraints.txt pins. A hole fails; that nobody could be asked is only said."""

import json
import subprocess
import sys
from pathlib import Path

PINNED = Path(__file__).parent.parent / "constraints.txt"
SECONDS = 60
COMMAND = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--format=json", "--progress-spinner=off"]


def main() -> int:
    """The exit status: 1 if there is a hole."""
    try:
        command = [*COMMAND, "--timeout=5", f"--requirement={PINNED}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
        found = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return not_asked(f"no answer within {SECONDS} seconds")
    except (ValueError, KeyError):
        return not_asked((done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1][:200])
    holes = [(entry, hole) for entry in found for hole in entry.get("vulns", [])]
    for entry, hole in holes:
        fixed = ", ".join(hole["fix_versions"]) or "no version yet"
        say(f"HOLE: {entry['name']} {entry['version']}: {hole['id']}, mended in {fixed}")
    skipped = [entry["name"] for entry in found if "skip_reason" in entry]
    if skipped:
        not_asked(f"nothing is known of {len(skipped)} of {len(found)} packages, such as {skipped[0]}")
    return 1 if holes else 0


def not_asked(reason: str) -> int:
    """Says it so that it is seen; no failure, because it says nothing about us."""
    say(f"NOT AUDITED for known vulnerabilities: {reason}")
    return 0


def say(sentence: str) -> None:
    sys.stderr.write(f"!!! {sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
