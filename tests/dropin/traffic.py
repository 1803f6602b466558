"""Clients that go on asking while servers restart; every request is counted, and what became of it."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from tests.uploads.forms import HEADERS, upload_form

ITEM = {"content_type": "game", "subject_area": "music", "age_range": "all", "title": "Made meanwhile"}
Step = Callable[[requests.Session], requests.Response]


@dataclass
class Traffic:
    """How many requests had which method and status (0: no answer), and what went wrong. `made`: items told of."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    dropped: list[str] = field(default_factory=list)
    made: list[int] = field(default_factory=list)
    slowest: float = 0.0

    def wait_for(self, more: int) -> None:
        """Returns when so many more requests have been answered."""
        goal, deadline = self.answers.total() + more, time.monotonic() + 30
        while self.answers.total() < goal:
            assert time.monotonic() < deadline, self.answers
            time.sleep(0.01)

    def note(self, method: str, seconds: float, status: int, told: str) -> None:
        """One request."""
        self.answers[method, status] += 1
        self.slowest = max(self.slowest, seconds)
        if status not in (200, 201):
            self.dropped.append(f"{method} {status} {told[:200]}")


@contextmanager
def traffic(url: str, headers: dict[str, str], clients: int = 3) -> Iterator[Traffic]:
    """Runs until the context is left: half of the clients keep their connection, the others open one a request."""
    seen, stop, lock = Traffic(), threading.Event(), threading.Lock()
    steps = _steps(url, headers)

    def ask(number: int) -> None:
        count = number
        with requests.Session() as session:
            while not stop.is_set():
                method, send = steps[count % len(steps)]
                count += 1
                started = time.monotonic()
                try:
                    answer = send(session)
                    status = answer.status_code
                    told = answer.text if status >= 300 else ""
                except requests.RequestException as error:
                    status, told = 0, repr(error)
                with lock:
                    seen.note(method, time.monotonic() - started, status, told)
                    if status == 201:
                        seen.made.append(answer.json()["content_id"])
                if number % 2:
                    session.close()
                stop.wait(0.02)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def _steps(url: str, headers: dict[str, str]) -> list[tuple[str, Step]]:
    def get(path: str) -> tuple[str, Step]:
        return "GET", lambda session: session.get(url + path, headers=headers, timeout=30)

    def upload(session: requests.Session) -> requests.Response:
        body = upload_form(f"words {uuid.uuid4()} ".encode() * 1000, "words.txt", ITEM)
        return session.post(f"{url}/api/content/upload", data=body, headers=headers | HEADERS, timeout=30)

    def make(session: requests.Session) -> requests.Response:
        return session.post(f"{url}/content", json=ITEM, headers=headers, timeout=30)

    gets = [get(path) for path in ("/content?per_page=5", "/content/subjects", "/assets/images/logo.svg")]
    return [*gets, ("POST", make), *gets, ("POST", make), get("/content/video/film.mp4"), ("POST", upload)]
