"""How many requests a second: the server beside Flask alone (bare) and the usual way to write it (plain), in turns.

    .venv/bin/python -m bench.serving --rows 100000

needs `wrk` (Debian: apt-get install wrk). Each runs under gunicorn with two workers of four threads, on the same
generated items; the server with all its features on.
"""

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jwt
import psycopg2

from bench.harness import SECRET, Case, Options, Want, run
from bench.search import prepare
from library_server import create_app
from library_server.dev import embedded

PROJECT = Path(__file__).parents[1]
WORKERS, THREADS, CONNECTIONS = 2, 4, 16
START_SECONDS = 30
PLENTY = "1000000000 per minute"


@dataclass(frozen=True)
class Target:
    """What one candidate is asked for: ``bare``, ``plain``, ``ours`` or ``uncached`` (ours without CACHE_TTL)."""

    server: str
    path: str = "/"
    kind: str = "parent"


# What is measured: its name, its candidates, what is wanted of them.
Comparison = tuple[str, Mapping[str, Target], Sequence[Want]]
ITEM, LIST, TWO, DEEP = "/content/77", "/content", "/content?subject_area=math&age_range=3-5", "/content?page=4500"
RECOMMENDED = "/content/child/1/recommendations"
CASES: list[Comparison] = [
    (
        "one item, cached",
        {
            "bare": Target("bare"),
            "bare, our workers": Target("bare, our workers"),
            "plain, parent": Target("plain", ITEM),
            "plain, child": Target("plain", ITEM, "child"),
            "ours, parent": Target("ours", ITEM),
            "ours, child": Target("ours", ITEM, "child"),
        },
        [
            Want("ours, parent", 0.65, "bare"),
            Want("ours, child", 0.65, "bare"),
            Want("ours, parent", 2.8, "plain, parent"),
        ],
    ),
    (
        "list, facets and search, cached",
        {
            "bare": Target("bare"),
            "list": Target("ours", LIST),
            "facets": Target("ours", "/content/subjects"),
            "search": Target("ours", "/content/search?q=lantern"),
        },
        [Want("list", 0.6, "bare"), Want("facets", 0.6, "bare"), Want("search", 0.6, "bare")],
    ),
    *(
        (
            f"{name}, not cached",
            {"plain": Target("plain", path), "ours": Target("uncached", path)},
            [Want("ours", 20, "plain")],
        )
        for name, path in (("list", LIST), ("list by two filters", TWO), ("list, page 4500", DEEP))
    ),
    (
        "recommendations",
        {"plain": Target("plain", RECOMMENDED, "child"), "ours": Target("uncached", RECOMMENDED, "child")},
        [Want("ours", 10, "plain")],
    ),
]


def main() -> None:
    """Starts what is compared, asks it in turns, prints."""
    run(cases, __doc__)


def cases(given: Options) -> Iterator[Case]:
    """Requests a second of each candidate, and the 99th percentile of their times."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed: apt-get install wrk")
    with contextlib.ExitStack() as stack:
        servers, database = start(stack, given.folder, given.rows)
        for name, targets, wants in CASES:
            # who goes at two speeds (docs/performance.md) needs more rounds for a median that can be met again
            rounds = given.rounds * 2 if "bare" in targets else given.rounds
            rates, slowest = measure(servers, targets, dataclasses.replace(given, rounds=rounds), database)
            yield Case(name, "requests/s", rates, wants)
            most = [
                Want(one, 2, "bare", at_most=True) for one in targets if "bare" in targets and one.startswith("ours")
            ]
            yield Case(f"{name}: the slowest of a hundred", "ms", slowest, most)


def start(stack: contextlib.ExitStack, folder: Path, rows: int) -> tuple[dict[str, int], str]:
    """The ports of the candidates, which run until `stack` is closed, and the URL of their database."""
    postgres = stack.enter_context(embedded.postgres(folder, f"bench_{rows}", durable=False))
    redis = stack.enter_context(embedded.redis(folder))
    shared = {
        "APP_ENV": "production",
        "SECRET_KEY": SECRET,
        "DATABASE_URL": postgres.url,
        "REDIS_URL": redis.url,
        "WORKERS": str(WORKERS),
        "THREADS": str(THREADS),
        "MAX_REQUESTS": "0",
        **{f"RATE_LIMIT_{name}": PLENTY for name in ("DEFAULT", "SEARCH", "FILES", "UPLOAD", "ANONYMOUS")},
    }
    folders = {f"{name}_STORAGE_PATH": str(folder / name.lower()) for name in ("CONTENT", "ASSETS", "UPLOADS")}
    with contextlib.closing(psycopg2.connect(postgres.url)) as connection:
        connection.autocommit = True
        prepare(connection.cursor(), create_app(shared | folders), rows)
        add_child(connection.cursor())
    references = [
        "--worker-class=gthread",
        f"--workers={WORKERS}",
        f"--threads={THREADS}",
        "--preload",
        "--config=/dev/null",
    ]
    ports = {
        "bare": stack.enter_context(gunicorn(shared, [*references, "bench.references.bare:app"])),
        "bare, our workers": stack.enter_context(gunicorn(shared | folders, ["bench.references.bare:app"])),
        "plain": stack.enter_context(gunicorn(shared | folders, [*references, "bench.references.plain:app"])),
        "ours": stack.enter_context(gunicorn(shared | folders, [])),
        "uncached": stack.enter_context(gunicorn(shared | folders | {"CACHE_TTL": "0"}, [])),
    }
    return ports, postgres.url


def add_child(cursor: "psycopg2.extensions.cursor") -> None:
    """A child that has done 200 of the items."""
    cursor.execute("SELECT count(*) FROM child")
    if not cursor.fetchone()[0]:
        cursor.execute("INSERT INTO child (uuid, parent_id, name, age) VALUES ('c', 1, 'Kim', 7)")
        cursor.execute(
            "INSERT INTO progress (child_id, content_id, accuracy_percentage) "
            "SELECT 1, id, 50 + id % 50 FROM content_library ORDER BY id LIMIT 200"
        )


@contextlib.contextmanager
def gunicorn(settings: Mapping[str, str], arguments: Sequence[str]) -> Iterator[int]:
    """The port of a gunicorn with these settings and arguments."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("gunicorn")), f"--bind=127.0.0.1:{port}", *arguments]
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), "HOST": "127.0.0.1", **settings}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=quiet, stderr=quiet) as server:
        try:
            wait_for(port)
            yield port
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(START_SECONDS)


def wait_for(port: int) -> None:
    """Returns when somebody listens there."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > deadline:
            raise RuntimeError("gunicorn does not start")
        time.sleep(0.05)


def measure(
    servers: Mapping[str, int], targets: Mapping[str, Target], given: Options, database: str
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Requests a second and 99th percentiles (ms) of the candidates, asked in turns, once to warm up."""
    rates: dict[str, list[float]] = {name: [] for name in targets}
    slowest: dict[str, list[float]] = {name: [] for name in targets}
    for number in range(given.rounds + 1):
        first = number % len(targets)  # another each round: what one leaves behind is not always the same one's to bear
        for name in [*targets][first:] + [*targets][:first]:
            settle(database)
            rate, slow = ask(servers[targets[name].server], targets[name], given.seconds if number else 1)
            if number:
                rates[name].append(rate)
                slowest[name].append(slow)
    return rates, slowest


def settle(database: str) -> None:
    """Returns when PostgreSQL has nothing to do any more: `wrk` leaves, but what it asked for last goes on."""
    busy = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
    with contextlib.closing(psycopg2.connect(database)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(busy)
        while cursor.fetchone()[0]:
            time.sleep(0.1)
            cursor.execute(busy)


def ask(port: int, target: Target, seconds: int) -> tuple[float, float]:
    """Requests a second and the 99th percentile in milliseconds, by `wrk`. Refuses answers that are no success."""
    now = int(time.time())
    claims = {"user_id": 1, "user_type": target.kind, "sub": "1", "iat": now, "exp": now + 3600}
    header = f"Authorization: Bearer {jwt.encode(claims, SECRET, 'HS256')}"
    url = f"http://127.0.0.1:{port}{target.path}"
    wrk = str(shutil.which("wrk"))
    load = ["-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout=20s", "--latency", "-H", header, url]
    said = subprocess.run([wrk, *load], check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"{url} failed:\n{said}")
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert slow and rate
    return float(rate[1]), float(slow[1]) * {"us": 0.001, "ms": 1, "s": 1000}[slow[2]]


if __name__ == "__main__":
    main()
