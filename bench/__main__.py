"""Every measurement, one after the other: prints the tables, writes docs/performance.md, its JSON and its plots.

    .venv/bin/python -m bench [serving lists …] [--rounds 5] [--seconds 2] [--keep DIR]

`make bench` does it all, in about half an hour; it needs `wrk`, and nginx with njs for files. With some names only
these are measured, and nothing is written.
"""

import argparse
import importlib
import tempfile
import traceback
from pathlib import Path

from bench import report
from bench.harness import Case, Options

MEASUREMENTS = ("serving", "lists", "search", "recommendations_speed", "files", "uploads", "imports", "starting")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def main() -> None:
    """Measures, and tells."""
    options = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").partition("\n")[0])
    options.add_argument("names", nargs="*", choices=[[], *MEASUREMENTS], help="all, if none is given")
    options.add_argument("--rows", type=int, default=100_000, help="of the library that is served")
    options.add_argument("--most-rows", type=int, default=1_000_000, help="of the largest library")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2, help="of load in a turn")
    options.add_argument("--keep", type=Path, help="a folder that keeps the databases for another run")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="library-bench-") as scratch:
        chosen = Options(given.keep or Path(scratch), given.rows, given.most_rows, given.rounds, given.seconds)
        found: list[Case] = []
        failed: list[str] = []
        for name in given.names or MEASUREMENTS:
            try:
                for case in importlib.import_module(f"bench.{name}").cases(chosen):
                    print(case, flush=True)
                    found.append(case)
            except Exception:  # half an hour of the others' figures is not to be lost
                traceback.print_exc()
                failed.append(name)
    if not given.names:
        report.write(found, PAGE)
    if failed:
        raise SystemExit(f"not measured to the end: {', '.join(failed)}")


if __name__ == "__main__":
    main()
