"""What a request for recommendations costs, against the plain way: read the whole age range and sort it in Python.

    .venv/bin/python -m bench.recommendations_speed --rows 100000 --most-rows 1000000

One child has 10,000 rows of progress, others 90,000. The server's answers are cold: nothing is kept of a child. What
it keeps of the library is forgotten before each request of "the library changed", and found in the other ones.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
from flask import Flask
from sqlalchemy import select, text

from bench.harness import SECRET, Case, Options, Want, scratch_app, take_turns
from library_server.catalog.models import ContentItem
from library_server.catalog.schemas import dump_item
from library_server.catalog.visibility import shown
from library_server.dev import embedded
from library_server.extensions import db
from library_server.lib import json

PATIENT_ROUNDS = 3  # of what takes seconds
SCHEMA = Path(embedded.__file__).parent / "schema" / "guide.sql"
OTHERS = ("parent", "child", "progress")  # the backend's, which no migration makes

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
DELETE FROM progress WHERE child_id = 3;
"""


def cases(given: Options) -> Iterator[Case]:
    """Against the plain way, and a large library against a small one."""
    small, large = f"{given.rows:,} items", f"{given.most_rows:,} items"
    with scratch_app(RATE_LIMIT_DEFAULT="1000000 per minute") as app:
        fill(given.rows)
        ways = {**ours(app), "plain": plain}
        seconds = take_turns(ways, min(given.rounds, PATIENT_ROUNDS), warm_up=1)
        few = take_turns(ours(app), given.rounds, warm_up=1)
        yield Case(
            f"recommendations, {small}, a child with 10,000 attempts",
            "ms",
            in_ms(seconds),
            [Want("ours", 1 / 10, "plain", at_most=True), Want("the library changed", 1 / 10, "plain", at_most=True)],
        )
    with scratch_app(RATE_LIMIT_DEFAULT="1000000 per minute") as app:
        fill(given.most_rows)
        many = take_turns(ours(app), given.rounds, warm_up=1)
    for name in few:
        yield Case(
            f"recommendations, large library and small: {name}",
            "ms",
            in_ms({small: few[name], large: many[name]}),
            [Want(large, 1.5, small, at_most=True)],
        )


def ours(app: Flask) -> dict[str, Callable[[], object]]:
    """Requests to the server."""
    client = app.test_client()
    now = int(time.time())
    claims = {"user_id": 1, "user_type": "parent", "iat": now, "exp": now + 36_000}
    headers = {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}

    def ask(child: int, forget: bool = False) -> None:
        if forget:
            app.extensions.pop("library_recommendations", None)
        answer = client.get(f"/content/child/{child}/recommendations", headers=headers)
        assert len(answer.json["recommendations"]) == 10, answer.json

    return {
        "ours": lambda: ask(1),
        "no progress": lambda: ask(3),
        "the library changed": lambda: ask(1, forget=True),
    }


def plain() -> bytes:
    """All active items of the age range by priority, then sorted in Python by success among those not mastered."""
    db.session.expunge_all()
    items = db.session.scalars(
        select(ContentItem)
        .where(shown(), ContentItem.age_range.in_(("6-8", "all")))
        .order_by(ContentItem.download_priority, ContentItem.id)
    ).all()
    done = text("SELECT content_id FROM progress WHERE child_id = 1 AND accuracy_percentage >= 80")
    mastered = set(db.session.scalars(done))
    left = sorted((item for item in items if item.id not in mastered), key=lambda item: -(item.success_rate or 0))
    return json.encode([dump_item(item) for item in left[:10]])


def fill(items: int) -> None:
    """A library of so many items, and ten children."""
    for statement in SCHEMA.read_text().split(");\n"):
        if any(f"CREATE TABLE {name} (" in statement for name in OTHERS):
            db.session.connection().exec_driver_sql(f"{statement})")
    db.session.execute(text(FILL), {"items": items})
    db.session.commit()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def in_ms(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """The same in milliseconds."""
    return {name: [1000 * each for each in found] for name, found in seconds.items()}


def main() -> None:
    """Prints the cases."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rows", type=int, default=Options.rows)
    options.add_argument("--most-rows", type=int, default=Options.most_rows)
    options.add_argument("--rounds", type=int, default=Options.rounds)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="library-bench-") as name:
        for case in cases(Options(Path(name), asked.rows, asked.most_rows, asked.rounds)):
            print(case, flush=True)


if __name__ == "__main__":
    main()
