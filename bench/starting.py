"""How long a start takes, how much memory a worker has, and what both are made of. Reported, with no bound.

Run: ``python -m bench.starting``.

Seconds are from the start of gunicorn's command to the first answer. Memory is that of a worker which has answered
some requests: RSS, and PSS, which counts what several processes share by its part. What they are made of is found out
by a process that only makes the application: of each package the time of its own modules (``-X importtime``) and what
Python allocated for them (tracemalloc), without what they import in turn.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jwt
import psycopg2

from bench.harness import SECRET, Case, Options
from bench.search import prepare
from bench.serving import ITEM, PLENTY
from bench.uploads import workers_of
from library_server import create_app
from library_server.dev import embedded

PROJECT = Path(__file__).parents[1]
FIRST = {"first answer of /health/live": "/health/live", "first signed-in GET": ITEM}
REQUESTS = 200  # before memory is looked at
MOST_SHOWN = 10
MIB = 1024 * 1024
START_SECONDS = 60
# Credits every module with what was allocated while it was executed, less what its own imports were credited with.
ALLOCATED = """
import importlib.machinery, json, tracemalloc
from collections import Counter
own, inner = Counter(), [0]
def measured(loader):
    execute = loader.exec_module
    def exec_module(self, module):
        before = tracemalloc.get_traced_memory()[0]
        inner.append(0)
        try:
            execute(self, module)
        finally:
            grown = tracemalloc.get_traced_memory()[0] - before
            own[module.__name__.partition(".")[0]] += grown - inner.pop()
            inner[-1] += grown
    loader.exec_module = exec_module
measured(importlib.machinery.SourceFileLoader)
measured(importlib.machinery.ExtensionFileLoader)
tracemalloc.start()
import wsgi
print(json.dumps(own))
"""


def main() -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory(prefix="library-bench-") as folder:
        for case in cases(Options(Path(folder), rows=1000)):
            print(case, flush=True)


def cases(given: Options) -> Iterator[Case]:
    """Seconds to the first answers; memory of a worker; what both are made of."""
    database = embedded.postgres(given.folder, f"bench_{given.rows}", durable=False)
    with database as postgres, embedded.redis(given.folder) as redis, tempfile.TemporaryDirectory() as folder:
        settings = {
            "APP_ENV": "production",
            "SECRET_KEY": SECRET,
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "WORKERS": "2",
            "HOST": "127.0.0.1",
            "RATE_LIMIT_DEFAULT": PLENTY,
            **{f"{name}_STORAGE_PATH": folder for name in ("CONTENT", "ASSETS", "UPLOADS")},
        }
        with contextlib.closing(psycopg2.connect(postgres.url)) as connection:
            connection.autocommit = True
            prepare(connection.cursor(), create_app(settings), given.rows)
        seconds: dict[str, list[float]] = {name: [] for name in FIRST}
        memory: dict[str, list[float]] = {"RSS": [], "PSS": []}
        for _ in range(given.rounds):
            for name, path in FIRST.items():
                seconds[name].append(_start(settings, path, memory))
        imported = [_import_times(settings) for _ in range(given.rounds)]
        allocated = [json.loads(_python(settings, "-c", ALLOCATED).stdout)]
    yield Case("start of gunicorn to its first answer", "s", seconds)
    yield Case("memory of a worker", "MiB", memory)
    yield Case("what the start imports, own time of each package", "ms", _largest(imported, 1000))
    yield Case("what Python allocates for it, by package", "MiB", _largest(allocated, 1 / MIB))


def _start(settings: Mapping[str, str], path: str, memory: dict[str, list[float]]) -> float:
    """Seconds until it answers there; notes the memory of its workers some requests later."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("gunicorn")), f"--bind=127.0.0.1:{port}"]
    environment = {"PATH": os.environ["PATH"], **settings, "PORT": str(port)}
    started, quiet = time.perf_counter(), subprocess.DEVNULL
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=quiet, stderr=quiet) as server:
        try:
            while not _answers(port, path):
                if time.perf_counter() - started > START_SECONDS:
                    raise RuntimeError("gunicorn does not start")
                time.sleep(0.005)
            seconds = time.perf_counter() - started
            for number in range(REQUESTS):
                _answers(port, f"/content?page={number % 20 + 1}")
            for pid in workers_of(port):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                for name, figures in memory.items():
                    figures.append(int(rollup.split(f"\n{name.capitalize()}:")[1].split()[0]) / 1024)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(START_SECONDS)
    return seconds


def _answers(port: int, path: str) -> bool:
    """Whether somebody does, and well."""
    now = int(time.time())
    claims = {"user_id": 1, "user_type": "parent", "sub": "1", "iat": now, "exp": now + 3600}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"})
        status = connection.getresponse().status
    except OSError:
        return False
    finally:
        connection.close()
    if status != 200:
        raise RuntimeError(f"{path} answers {status}")
    return True


def _import_times(settings: Mapping[str, str]) -> Counter[str]:
    """Seconds by package, from lines like ``import time: <own, microseconds> | <with what it imports> | <module>``."""
    spent: Counter[str] = Counter()
    for line in _python(settings, "-X", "importtime", "-c", "import wsgi").stderr.splitlines():
        own, _, module = (
            line.removeprefix("import time:").split("|") if line.startswith("import time:") else ("", "", "")
        )
        if own.strip().isdigit():
            spent[module.strip().partition(".")[0]] += int(own) / 1e6
    return spent


def _python(settings: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=dict(settings),
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )


def _largest(found: Sequence[Mapping[str, float]], scale: float) -> dict[str, list[float]]:
    """The packages with the largest medians, and all others together."""
    names = {name for each in found for name in each}
    medians = Counter({name: statistics.median(each.get(name, 0) for each in found) for name in names})
    shown = [name for name, _ in medians.most_common(MOST_SHOWN)]
    figures = {name: [each.get(name, 0) * scale for each in found] for name in shown}
    others = [sum(value for name, value in each.items() if name not in shown) * scale for each in found]
    return figures | {"all others": others}


if __name__ == "__main__":
    main()
