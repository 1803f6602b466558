"""How long each migration takes on the backend's database with many items.

Run: ``python -m bench.adoption [rows]``. The reference is PostgreSQL's own ``VACUUM FULL`` of the same table, which
writes it anew as the first migration does.
"""

import sys
import tempfile
import time
from pathlib import Path

import flask_migrate
import psycopg2

from bench.harness import SECRET
from library_server import create_app
from library_server.dev import embedded

SCHEMA = Path(embedded.__file__).parent / "schema" / "backend.sql"
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
FILL = """
    INSERT INTO content_library (content_type, subject_area, age_range, skill_objectives, content_metadata)
    SELECT 'story', (ARRAY['math', 'science', 'geography'])[1 + n %% 3], (ARRAY['3-5', '6-8', '9-12'])[1 + n %% 7 %% 3],
           json_build_array('counting', 'rhyming ' || n %% 50),
           json_build_object('title', 'The ' || n || ' little spiders', 'text', md5(n::text) || ' ' || md5(n::text))
    FROM generate_series(1, %s) n
"""


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory(prefix="library-bench-") as folder, embedded.postgres(Path(folder)) as postgres:
        connection = psycopg2.connect(postgres.url)
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(SCHEMA.read_text())
        cursor.execute(FILL, (rows,))
        started = time.perf_counter()
        cursor.execute("VACUUM FULL ANALYZE content_library")
        reference = time.perf_counter() - started
        print(f"{rows} rows; VACUUM FULL: {reference:.1f} s")
        settings = {"APP_ENV": "testing", "SECRET_KEY": SECRET, "REDIS_URL": "redis://127.0.0.1:1/0"}
        with create_app(settings | {"DATABASE_URL": postgres.url}).app_context():
            for revision in REVISIONS:
                started = time.perf_counter()
                flask_migrate.upgrade(revision=revision)
                seconds = time.perf_counter() - started
                print(f"{revision}: {seconds:.1f} s, {seconds / reference:.1f} times as long", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
