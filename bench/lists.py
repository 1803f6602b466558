"""Lists that are not cached, in libraries of three sizes: a request through the whole server, in process, and beside it
the two statements with which such a list is usually made.

    .venv/bin/python -m bench.lists --rows 1000000

Databases are made once and kept in `--keep DIR`.
"""

import argparse
import contextlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import psycopg2
from flask import Flask
from sqlalchemy import make_url

from bench.harness import SECRET, Case, Options, Want, take_turns
from bench.search import prepare
from library_server import create_app
from library_server.dev import embedded

FILTERS = {
    "everything": {},
    "by one filter": {"subject_area": "math"},
    "by two filters": {"subject_area": "math", "age_range": "3-5"},
}
PER_PAGE = 20
REQUESTS = 20  # of ours, for one figure
AT_MOST = 1.5
PLENTY = "1000000000 per minute"

Ask = Callable[[str], Any]


def cases(given: Options) -> Iterator[Case]:
    """Milliseconds of the first, the middle and the last page of some lists, and of facets, by size of the library."""
    sizes = sorted({10_000, 100_000, given.most_rows})
    with contextlib.ExitStack() as stack:
        libraries = _open(stack, given.folder, sizes)
        for what, filters in FILTERS.items():
            query = "&".join(f"{name}={value}" for name, value in filters.items())
            totals = {rows: ask(f"/content?{query}")["pagination"]["total"] for rows, (ask, _) in libraries.items()}
            for page, share in (("first", 0), ("middle", 0.5), ("last", 1)):
                offsets = {rows: max(int(total * share) - PER_PAGE, 0) for rows, total in totals.items()}
                asked = {rows: f"/content?{query}&limit={PER_PAGE}&offset={offset}" for rows, offset in offsets.items()}
                plain = {
                    f"plain statements, {_rows(rows)}": _plain(libraries[rows][1], filters, offset)
                    for rows, offset in offsets.items()
                }
                yield _case(given, f"list, not cached: {what}, {page} page", libraries, asked, plain)
        yield _case(given, "facets, not cached", libraries, dict.fromkeys(sizes, "/content/subjects"), {})


def _case(
    given: Options,
    name: str,
    libraries: dict[int, tuple[Ask, Any]],
    asked: dict[int, str],
    plain: dict[str, Callable[[], object]],
) -> Case:
    def run(rows: int) -> Callable[[], object]:
        return lambda: [libraries[rows][0](asked[rows]) for _ in range(REQUESTS)]

    ours = take_turns({_rows(rows): run(rows) for rows in libraries}, given.rounds, warm_up=1)
    figures = {each: [seconds * 1000 / REQUESTS for seconds in found] for each, found in ours.items()}
    usual = take_turns(plain, given.rounds, warm_up=1)
    figures |= {each: [seconds * 1000 for seconds in found] for each, found in usual.items()}
    return Case(name, "ms", figures, [Want(_rows(max(libraries)), AT_MOST, _rows(min(libraries)), at_most=True)])


def _plain(cursor: Any, filters: dict[str, str], offset: int) -> Callable[[], object]:
    where = " AND ".join(["active", *(f"{name} = '{value}'" for name, value in filters.items())])

    def run() -> None:
        cursor.execute(f"SELECT count(*) FROM content_library WHERE {where}")
        cursor.execute(
            f"SELECT * FROM content_library WHERE {where} ORDER BY download_priority, id "
            f"LIMIT {PER_PAGE} OFFSET {offset}"
        )
        cursor.fetchall()

    return run


def _open(stack: contextlib.ExitStack, folder: Path, sizes: list[int]) -> dict[int, tuple[Ask, Any]]:
    """By rows: who answers a path, and a cursor. Databases that are lacking are made, which takes minutes."""
    for rows in sizes:
        with embedded.postgres(folder, f"bench_{rows}", durable=False):
            pass  # it is made now; one server then has them all
    server = make_url(stack.enter_context(embedded.postgres(folder, f"bench_{sizes[0]}", durable=False)).url)
    redis = stack.enter_context(embedded.redis(folder))
    libraries = {}
    for rows in sizes:
        url = server.set(database=f"bench_{rows}").render_as_string(hide_password=False)
        connection = stack.enter_context(contextlib.closing(psycopg2.connect(url)))
        connection.autocommit = True
        app = create_app(
            {
                "APP_ENV": "testing",
                "SECRET_KEY": SECRET,
                "DATABASE_URL": url,
                "REDIS_URL": redis.url,
                "CACHE_TTL": 0,  # it is the list that is measured
                "CACHE_POLL_SECONDS": 0,
                "USAGE_FLUSH_SECONDS": 0,
                "RATE_LIMIT_DEFAULT": PLENTY,
            }
        )
        prepare(connection.cursor(), app, rows)
        libraries[rows] = _asks(app), connection.cursor()
    return libraries


def _asks(app: Flask) -> Ask:
    now = int(time.time())
    token = jwt.encode({"user_id": 1, "user_type": "parent", "iat": now, "exp": now + 36_000}, SECRET, "HS256")
    client, headers = app.test_client(), {"Authorization": f"Bearer {token}"}

    def ask(path: str) -> Any:
        answer = client.get(path, headers=headers)
        assert answer.status_code == 200, answer.get_data()
        return answer.get_json()

    return ask


def _rows(rows: int) -> str:
    return f"{rows:,} rows"


def main() -> None:
    """Measures, and prints."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rows", type=int, default=1_000_000, help="of the largest library")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--keep", type=Path)
    given = options.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory(prefix="library-bench-") as scratch:
        for case in cases(Options(given.keep or Path(scratch), most_rows=given.rows, rounds=given.rounds)):
            print(case, flush=True)


if __name__ == "__main__":
    main()
