"""What every measurement needs: scratch servers, candidates that take turns, and a form for what was found."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import flask_migrate
from flask import Flask

from library_server import create_app
from library_server.dev import embedded

SECRET = "a-secret-of-measurements-that-is-long-enough"


@dataclass(frozen=True)
class Options:
    """How much to measure: rows of the libraries, rounds of turns, seconds of load a turn; where to keep databases."""

    folder: Path
    rows: int = 100_000
    most_rows: int = 1_000_000
    rounds: int = 5
    seconds: int = 2


@dataclass(frozen=True)
class Want:
    """The median of `of` divided by that of `against` is to be at least (or at most) `bound`."""

    of: str
    bound: float
    against: str
    at_most: bool = False

    def ratio(self, case: "Case") -> float:
        """What was reached."""
        return case.median(self.of) / case.median(self.against)

    def reached(self, case: "Case") -> bool:
        """Whether that is enough."""
        return self.ratio(case) <= self.bound if self.at_most else self.ratio(case) >= self.bound


@dataclass(frozen=True)
class Case:
    """One comparison: for each candidate a figure of each round, in `unit`; what is wanted of their medians."""

    name: str
    unit: str  # "requests/s", "ms", "s", "MB/s" or "MiB"
    figures: Mapping[str, Sequence[float]]
    wants: Sequence[Want] = ()
    note: str = ""

    def median(self, candidate: str) -> float:
        """Of the rounds."""
        return statistics.median(self.figures[candidate])

    def __str__(self) -> str:
        width = max(map(len, self.figures))
        lines = [f"\n{self.name} ({self.unit})", f"{'':{width}}{'median':>12}{'lowest':>12}{'highest':>12}"]
        for name, each in self.figures.items():
            lines.append(f"{name:{width}}{self.median(name):>12.2f}{min(each):>12.2f}{max(each):>12.2f}")
        for want in self.wants:
            verdict = "" if want.reached(self) else "  MISSED"
            bound = f"at {'most' if want.at_most else 'least'} {want.bound:g}"
            lines.append(f"{want.of} is {want.ratio(self):.3g} of {want.against}; wanted {bound}{verdict}")
        return "\n".join([*lines, *([self.note] if self.note else [])])


def wants(cases: Sequence[Case]) -> list[tuple[Case, Want]]:
    """All that is wanted, with its case."""
    return [(case, want) for case in cases for want in case.wants]


@contextmanager
def scratch_app(**settings: object) -> Iterator[Flask]:
    """An application on an empty, migrated database and an empty Redis of its own."""
    with tempfile.TemporaryDirectory(prefix="library-bench-") as name:
        folder = Path(name)
        with embedded.postgres(folder) as postgres, embedded.redis(folder) as redis:
            folders = {f"{each}_STORAGE_PATH": str(folder / each.lower()) for each in ("CONTENT", "ASSETS", "UPLOADS")}
            urls = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url}
            app = create_app({"APP_ENV": "testing", "SECRET_KEY": SECRET} | urls | folders | settings)
            with app.app_context():
                flask_migrate.upgrade()
                yield app


def take_turns(candidates: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 0) -> dict[str, list[float]]:
    """Runs every candidate once a round, in turn, and returns their seconds; the rounds that warm up are not told."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + warm_up):
        for name, run in candidates.items():
            started = time.perf_counter()
            run()
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def run(cases: Callable[[Options], Iterator[Case]], about: str | None) -> None:
    """The command line of one measurement: prints each case when it is there."""
    options = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--most-rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=2, help="of load in a turn")
    options.add_argument("--keep", type=Path, help="a folder that keeps the databases for another run")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="library-bench-") as scratch:
        chosen = Options(given.keep or Path(scratch), given.rows, given.most_rows, given.rounds, given.seconds)
        for case in cases(chosen):
            print(case, flush=True)
