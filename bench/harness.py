"""What every measurement needs: scratch servers, and medians of candidates that take turns."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import flask_migrate
from flask import Flask

from library_server import create_app
from library_server.dev import embedded

SECRET = "a-secret-of-measurements-that-is-long-enough"


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


@dataclass(frozen=True)
class Times:
    """Seconds of each round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"{self.median * 1000:10.2f} ms ({min(self.seconds) * 1000:.2f} to {max(self.seconds) * 1000:.2f})"


def take_turns(candidates: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Runs every candidate once a round, in turn, and returns their times."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {name: Times(tuple(each)) for name, each in seconds.items()}
