"""Checks that anybody may cause and nobody can be hung by: each runs in a thread of its own, one at a time a process.

What a check has found is remembered for some seconds, so that no number of callers makes it run more often.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask

OK, SLOW = "ok", "slow"


@dataclass(frozen=True)
class Found:
    """A word for how it is, and how long it took to find out, in seconds."""

    status: str
    seconds: float


class Probe:
    """`ask` returns a word; what it raises is left to it. `remember`: seconds."""

    def __init__(self, ask: Callable[[], str], remember: float) -> None:
        self._ask, self._remember = ask, remember
        self._lock = threading.Lock()
        self._found: Found | None = None
        self._forget_at = 0.0
        self._started = 0.0
        self._done: threading.Event | None = None  # of the run that goes on

    def start(self, app: Flask) -> None:
        """Begins to find out, unless it is remembered or being found out."""
        with self._lock:
            if self._done is not None or (self._found is not None and time.monotonic() < self._forget_at):
                return
            done, self._started = threading.Event(), time.monotonic()
            try:
                threading.Thread(target=self._run, args=(app, done), name="library-probe", daemon=True).start()
            except RuntimeError:  # there is no thread to be had
                self._found, self._forget_at = Found("failed", 0.0), self._started + self._remember
            else:
                self._done = done

    def found(self, longest: float) -> Found:
        """What is known `longest` seconds after it was begun at the latest: nothing but that it is slow, then."""
        with self._lock:
            done, started = self._done, self._started
        if done is None or done.wait(max(0.0, started + longest - time.monotonic())):
            assert self._found is not None  # noqa: S101 (a run that is over has found something)
            return self._found
        return Found(SLOW, time.monotonic() - started)

    def _run(self, app: Flask, done: threading.Event) -> None:
        status = "failed"
        try:
            with app.app_context():
                status = self._ask()
        finally:
            with self._lock:
                now = time.monotonic()
                self._found, self._forget_at, self._done = (
                    Found(status, now - self._started),
                    now + self._remember,
                    None,
                )
            done.set()
