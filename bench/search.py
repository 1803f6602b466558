"""How quick search and suggestions are beside an ILIKE scan, over a library of generated items.

    .venv/bin/python -m bench.search --rows 1000000

makes the rows in a scratch database of the embedded PostgreSQL, migrates it as an operator would, and asks the whole
application (token, JSON and all) in turns with the scan. Each limit is for the statements that a request sends: the
request has signing in and JSON besides. `--keep DIR` keeps the database for another run.
"""

import argparse
import contextlib
import itertools
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import flask_migrate
import jwt
import psycopg2
import sqlalchemy
from sqlalchemy import event

from bench.harness import SECRET, Case, Options, Want
from library_server import create_app
from library_server.dev import embedded
from library_server.extensions import db

SCHEMA = Path(embedded.__file__).parent / "schema" / "guide.sql"
WORDS, PHRASES = 30_000, 50_000
DEFAULT_MEMORY = "128MB"  # PostgreSQL's own, if nobody says otherwise
MEMORIES = (DEFAULT_MEMORY, "1GB")  # the other holds what a million items need for searching
SCAN = "SELECT count(*) FROM content_library WHERE title ILIKE %(like)s OR description ILIKE %(like)s"

# what, path, share of the scan's time that it may take, the scan it is held against
CASES = [
    ("rare word", "/content/search?q=zebrafish", 500, "zebrafish"),
    ("word in one row of 100", "/content/search?q=lantern", 50, "lantern"),
    ("word in one row of 100, two filters", "/content/search?q=lantern&subject_area=math&age_range=3-5", 50, "lantern"),
    ("word in one row of 100, page 20", "/content/search?q=lantern&page=20", 50, "lantern"),
    ("two words", "/content/search?q=lantern+pocket", None, "lantern"),
    ("prefix of a word", "/content/search?q=zebraf", 50, "zebraf"),
    ("misspelling, rare word", "/content/search?q=zebbrafesh", 20, "zebbrafesh"),
    ("misspelling, 1 in 100", "/content/search?q=lantirn", 20, "lantirn"),
    ("nothing like it", "/content/search?q=qqwxzvvk", 20, "qqwxzvvk"),
    ("suggest, 1 letter", "/content/suggest?q=s", 200, "s"),
    ("suggest, 3 letters", "/content/suggest?q=lan", 200, "lan"),
    ("suggest, a rare title", "/content/suggest?q=zebraf", 200, "zebraf"),
    ("suggest, misspelt", "/content/suggest?q=zebbraf", 200, "zebbraf"),
]
# Asked in a round of their own: they read more than PostgreSQL's own memory holds by default (128 MB).
WIDE_CASES = [
    ("word in every other row", "/content/search?q=everybody", None, "everybody"),
    ("all but the word in every other row", "/content/search?q=-everybody", None, "everybody"),
]


def cases(given: Options, memories: Sequence[str] = MEMORIES) -> Iterator[Case]:
    """Every search and suggestion in a library of `given.most_rows`, kept in `given.folder`, for each of `memories`."""
    for memory in memories:
        with contextlib.ExitStack() as stack:
            name = f"bench_{given.most_rows}"
            with embedded.postgres(given.folder, name, durable=False) as first:
                set_memory(first.url, memory)  # which counts from the next start on
            url = stack.enter_context(embedded.postgres(given.folder, name, durable=False)).url
            app = create_app(
                {
                    "APP_ENV": "testing",
                    "LOG_LEVEL": "ERROR",
                    "SECRET_KEY": SECRET,
                    "DATABASE_URL": url,
                    "REDIS_URL": stack.enter_context(embedded.redis(given.folder)).url,
                    "CACHE_TTL": 0,  # it is the search that is measured
                    "RATE_LIMIT_SEARCH": "1000000 per minute",
                }
            )
            connection = stack.enter_context(contextlib.closing(psycopg2.connect(url)))
            connection.autocommit = True
            prepare(connection.cursor(), app, given.most_rows)
            for asked in (CASES, WIDE_CASES):
                yield from measure(app, connection.cursor(), asked, given.rounds, f"search with {memory}")
    with embedded.postgres(given.folder, name, durable=False) as last:
        set_memory(last.url, DEFAULT_MEMORY)  # for whoever measures the next


def main() -> None:
    """Prints the cases."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--keep", type=Path)
    options.add_argument("--shared-buffers", nargs="+", default=MEMORIES, help="PostgreSQL's own memory, one or more")
    given = options.parse_args()
    with contextlib.ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="library-bench-")))
        for case in cases(Options(folder, most_rows=given.rows, rounds=given.rounds), given.shared_buffers):
            print(case, flush=True)


def set_memory(url: str, size: str) -> None:
    """Sets ``shared_buffers``."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("ALTER SYSTEM SET shared_buffers = %s", (size,))


def prepare(cursor: "psycopg2.extensions.cursor", app: object, rows: int) -> None:
    """Fills a database as the guide made it, and migrates it; one that is filled already is left as it is."""
    cursor.execute("SELECT to_regclass('content_library')")
    if cursor.fetchone()[0] is None:
        cursor.execute(SCHEMA.read_text())
        cursor.execute(
            "INSERT INTO parent (uuid, name, email, password_hash) VALUES ('u', 'Pat', 'p@example.org', 'x')"
        )
        print(f"{rows} rows made in {timed(lambda: fill(cursor, rows)):.0f} s", flush=True)
    with app.app_context():
        print(f"migrated in {timed(flask_migrate.upgrade):.0f} s", flush=True)
    cursor.execute("CHECKPOINT")  # VACUUM passes over what was committed without waiting for the disk
    cursor.execute("VACUUM ANALYZE")
    cursor.execute("CHECKPOINT")
    os.sync()  # nothing of it is still to be written while something is measured
    for relation in ("content_library", "library_search", "ix_library_search_document", "library_word"):
        cursor.execute("SELECT pg_total_relation_size(%s) / 1048576", (relation,))
        print(f"{relation}: {cursor.fetchone()[0]} MiB")


def fill(cursor: "psycopg2.extensions.cursor", rows: int) -> None:
    """Items of made-up words, the common ones common (Zipf); a few real words with a known share of the rows."""
    chance = random.Random(7)
    syllables = [a + b + c for a in "bdfgklmnprstvw" for b in "aeiou" for c in ("", "n", "r", "l")]
    words = list({"".join(chance.choices(syllables, k=chance.choice([2, 2, 3]))) for _ in range(WORDS)})
    weights = list(itertools.accumulate(1 / rank for rank in range(10, len(words) + 10)))
    phrases = [" ".join(chance.choices(words, cum_weights=weights, k=5)) for _ in range(PHRASES)]
    cursor.execute("CREATE TEMP TABLE phrase (n integer PRIMARY KEY, said text)")
    for first in range(0, PHRASES, 1000):
        part = phrases[first : first + 1000]
        values = b",".join(cursor.mogrify("(%s, %s)", (first + n, said)) for n, said in enumerate(part))
        cursor.execute(b"INSERT INTO phrase VALUES " + values)
    cursor.execute("ANALYZE phrase; SET jit = off; SELECT setseed(0.5)")
    pick = f"floor(random() * {PHRASES})::integer"
    cursor.execute(
        f"""
        INSERT INTO content_library (content_type, subject_area, age_range, title, description, file_path,
          skill_objectives, content_metadata, download_priority, difficulty_level, active, usage_count, created_at)
        SELECT (ARRAY['activity', 'nursery_rhyme', 'assessment', 'lesson', 'story', 'game'])[1 + i % 6],
          (ARRAY['phonemic_awareness', 'math', 'science', 'geography', 'language_arts'])[1 + i / 7 % 5],
          (ARRAY['3-5', '6-8', '9-12', '13+', 'all'])[1 + i / 11 % 5],
          initcap(a.said) || CASE WHEN i % 100 = 3 AND i % 7 = 0 THEN ' Lantern'
                                  WHEN i % ({rows} / 10) = 5 THEN ' Zebrafish' ELSE '' END,
          b.said || '. ' || c.said || ', ' || d.said || '. '
            || CASE WHEN i % 100 = 3 AND i % 7 <> 0 THEN 'A lantern ' ELSE '' END
            || CASE WHEN i % 2 = 0 THEN 'for everybody ' ELSE '' END
            || CASE WHEN i % 25 = 3 THEN 'in a pocket' ELSE '' END,
          'audio/' || i || '.mp3', json_build_array(split_part(b.said, ' ', 2)),
          json_build_object('week', i % 35, 'text', e.said), 1 + i % 10,
          (ARRAY['beginner', 'intermediate', 'advanced'])[1 + i / 13 % 3], i % 50 <> 0, i % 500, now()
        FROM (SELECT i, {pick} a, {pick} b, {pick} c, {pick} d, {pick} e FROM generate_series(1, {rows}) i) row
        JOIN phrase a ON a.n = row.a JOIN phrase b ON b.n = row.b JOIN phrase c ON c.n = row.c
        JOIN phrase d ON d.n = row.d JOIN phrase e ON e.n = row.e
        ORDER BY random()"""
    )
    cursor.execute("DROP TABLE phrase")
    cursor.execute("VACUUM ANALYZE content_library")


def measure(
    app: object, cursor: "psycopg2.extensions.cursor", asked: list[tuple], rounds: int, which: str
) -> Iterator[Case]:
    """For each of `asked` the milliseconds of the scan, of the statements that a request sends, and of the request."""
    now = int(time.time())
    token = jwt.encode({"user_id": 1, "user_type": "parent", "iat": now, "exp": now + 36_000}, SECRET, "HS256")
    client, headers = app.test_client(), {"Authorization": f"Bearer {token}"}
    with app.app_context():
        spent = statement_times(db.engine)
    taken: list[dict[str, list[float]]] = [{"scan": [], "statements": [], "request": []} for _ in asked]
    found = [0] * len(asked)
    for number in range(rounds + 2):  # the first two warm up
        for place, (_, path, _, word) in enumerate(asked):
            scan = timed(lambda word=word: cursor.execute(SCAN, {"like": f"%{word}%"}))
            answer: list[dict] = []
            spent.clear()
            request = timed(
                lambda path=path, answer=answer: answer.append(client.get(path, headers=headers).get_json())
            )
            found[place] = answer[0].get("pagination", {}).get("total", len(answer[0].get("suggestions", ())))
            if number > 1:
                for name, seconds in (("scan", scan), ("statements", sum(spent)), ("request", request)):
                    taken[place][name].append(seconds * 1000)
    for (what, _, limit, _), times, count in zip(asked, taken, found, strict=True):
        wants = [Want("statements", 1 / limit, "scan", at_most=True)] if limit else []
        yield Case(f"{which}: {what}", "ms", times, wants, f"{count} found")


def statement_times(engine: "sqlalchemy.Engine") -> list[float]:
    """A list that each statement adds its seconds to."""
    spent: list[float] = []
    event.listen(engine, "before_cursor_execute", lambda c, u, s, p, context, m: started.append(time.perf_counter()))
    event.listen(
        engine, "after_cursor_execute", lambda c, u, s, p, context, m: spent.append(time.perf_counter() - started.pop())
    )
    started: list[float] = []
    return spent


def timed(work: Callable[[], object]) -> float:
    """Seconds that it took."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
