"""What a request for recommendations costs, against the plain way: read the whole age range and sort it in Python.

    .venv/bin/python bench/recommendations_speed.py --items 100000

Starts a PostgreSQL and a Redis of its own in a temporary folder and removes them. One child has 10,000 rows of
progress, others 90,000. Prints the median and the worst of some requests each way, in the same run.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import flask_migrate
import jwt
from flask import Flask
from sqlalchemy import event, func, select, text

from library_server import create_app
from library_server.catalog.models import ContentItem
from library_server.catalog.schemas import dump_item
from library_server.catalog.visibility import shown
from library_server.dev import embedded
from library_server.extensions import db
from library_server.lib import json

SECRET = "a-secret-of-the-benchmark-that-is-long-enough"
SCHEMA = Path(embedded.__file__).parent / "schema" / "guide.sql"
FILL = """
INSERT INTO parent (uuid, name, email, password_hash) VALUES ('1', 'Pat', 'pat@example.org', '!');
INSERT INTO child (uuid, parent_id, name, age) SELECT i, 1, 'Kim', 7 FROM generate_series(1, 10) i;
INSERT INTO content_library (content_type, subject_area, age_range, title, description, skill_objectives,
    prerequisite_skills, content_metadata, download_priority, difficulty_level, active, usage_count, success_rate,
    average_completion_time, created_at)
SELECT (ARRAY['activity','nursery_rhyme','assessment','lesson','story','game'])[1 + i % 6],
    (ARRAY['phonemic_awareness','math','science','geography','language_arts','social_studies'])[1 + i / 6 % 6],
    (ARRAY['3-5','6-8','9-12','13+','all'])[1 + i / 36 % 5], 'Item ' || i, repeat('About item ' || i || '. ', 10),
    json_build_array('skill_' || i / 6 % 6 || '_' || i / 180 % 10, 'skill_' || i / 6 % 6 || '_' || i / 1800 % 10),
    json_build_array('skill_' || i / 6 % 6 || '_' || i / 900 % 10), json_build_object('week', 1 + i % 35),
    1 + (random() * 9)::int, (ARRAY['beginner','intermediate','advanced','easy','standard',NULL])[1 + i / 360 % 6],
    random() > 0.02, (random() ^ 4 * 1000)::int, 50 + (random() * 50)::int, 60 + (random() * 600)::int,
    now() - random() * interval '3 years'
FROM generate_series(1, :items) i;
INSERT INTO progress (child_id, content_id, accuracy_percentage, attempts_count, engagement_score, completion_time,
    session_date)
SELECT CASE WHEN i <= 10000 THEN 1 ELSE 2 + i % 9 END, 1 + (random() * (:items - 1))::int, 30 + random() * 70,
    1 + i % 3, random() * 100, 60 + (random() * 900)::int, now() - random() * interval '1 year'
FROM generate_series(1, 100000) i;
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="library-bench-") as name:
        folder = Path(name)
        with embedded.postgres(folder, durable=False) as postgres, embedded.redis(folder) as redis:
            app = create_app(
                {
                    "SECRET_KEY": SECRET,
                    "DATABASE_URL": postgres.url,
                    "REDIS_URL": redis.url,
                    "RATE_LIMIT_DEFAULT": "1000000 per minute",
                }
            )
            with app.app_context():
                fill(asked.items)
                measure(app, asked.requests)
                db.session.remove()
                db.engine.dispose()


def fill(items: int) -> None:
    db.session.connection().exec_driver_sql(SCHEMA.read_text().replace("%", "%%"))
    db.session.commit()
    flask_migrate.upgrade()
    db.session.execute(text(FILL), {"items": items})
    db.session.commit()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    size = db.session.scalar(text("SELECT pg_size_pretty(pg_relation_size('ix_library_recommend'))"))
    print(f"{db.session.scalar(select(func.count()).select_from(ContentItem)):,} items; the index has {size}")


def measure(app: Flask, requests: int) -> None:
    client, sent = app.test_client(), []
    now = int(time.time())
    claims = {"user_id": 1, "user_type": "parent", "iat": now, "exp": now + 3600}
    headers = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}
    event.listen(db.engine, "before_cursor_execute", lambda *call: sent.append(call[2]))

    def ours(child: int) -> None:
        answer = client.get(f"/content/child/{child}/recommendations", headers=headers)
        assert len(answer.json["recommendations"]) == 10, answer.json

    for name, work in {
        "10,000 rows of progress": lambda: ours(1),
        "no progress": lambda: db.session.execute(text("DELETE FROM progress WHERE child_id = 3")) and ours(3),
        "the plain way": lambda: plain(1),
    }.items():
        first = timed(work)
        sent.clear()
        times = sorted(timed(work) for _ in range(requests))
        print(
            f"{name}: first {first:.0f} ms, median {statistics.median(times):.0f} ms, worst {times[-1]:.0f} ms, "
            f"{len(sent) / requests:.0f} statements"
        )


def plain(child: int) -> bytes:
    """All active items of the age range by priority, then sorted in Python by success among those not mastered."""
    db.session.expunge_all()
    items = db.session.scalars(
        select(ContentItem)
        .where(shown(), ContentItem.age_range.in_(("6-8", "all")))
        .order_by(ContentItem.download_priority, ContentItem.id)
    ).all()
    done = text("SELECT content_id FROM progress WHERE child_id = :child AND accuracy_percentage >= 80")
    mastered = set(db.session.scalars(done, {"child": child}))
    left = sorted((item for item in items if item.id not in mastered), key=lambda item: -(item.success_rate or 0))
    return json.encode([dump_item(item) for item in left[:10]])


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
