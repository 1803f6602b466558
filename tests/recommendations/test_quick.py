"""The quick ways give what the straightforward ones give, on random children and libraries, kept or not."""

import math
import random
import time
from collections import Counter, defaultdict
from datetime import date, timedelta

import pytest
from sqlalchemy import event

from library_server.config import DEFAULT_WEIGHTS
from library_server.extensions import db
from library_server.recommendations import candidates, kept, pools, ranking, scoring
from library_server.recommendations.items import Average, Candidate
from library_server.recommendations.profile import Attempt, Profile, Result, results_of
from library_server.recommendations.quick import Scorer, Standing
from library_server.web.changes import look_for_changes
from tests.conftest import make_child
from tests.recommendations.test_route import FILL, TRIED, guide_only, ids

TODAY = date(2026, 1, 5)
SKILLS = [f"skill_{number}" for number in range(9)]


def some_items(luck, count):
    return [
        Candidate(
            id=number,
            content_type=luck.choice(["game", "story", "lesson"]),
            subject=luck.choice(["math", "science", "phonemic_awareness"]),
            skills=tuple(luck.sample(SKILLS, luck.randrange(4))),
            prerequisites=tuple(luck.sample(SKILLS, luck.randrange(3))),
            step=luck.choice([None, 0, 1, 2]),
            week=luck.choice([None, *range(35)]),
            uses=int(luck.lognormvariate(2, 2)),
            success=luck.choice([None, luck.uniform(0, 100)]),
            created=luck.choice([None, TODAY - timedelta(days=luck.randrange(-5, 200))]),
        )
        for number in range(1, count)
    ]


def some_child(luck, items):
    tried = [
        Attempt(
            content_id=item.id,
            accuracy=luck.choice([None, luck.uniform(0, 79)]),
            attempts=luck.randint(1, 6),
            engagement=luck.choice([None, luck.uniform(0, 100)]),
            skills=item.skills,
            content_type=item.content_type,
            step=item.step,
            slow=luck.random() < 0.2,
            on=luck.choice([None, TODAY - timedelta(days=luck.randrange(30))]),
        )
        for item in luck.sample(items, luck.randrange(30))
    ]
    told = {skill: Result(luck.uniform(0, 100)) for skill in luck.sample(SKILLS, luck.randrange(5))}
    return Profile(
        adjustment=luck.choice([None, 0.5, 1, 1.5]),
        week=luck.choice([None, 12]),
        phonemic_step=luck.choice([None, 0, 2]),
        results=told | results_of(tried),
        strengths=frozenset(luck.sample(SKILLS, 2)),
        challenges=frozenset(luck.sample(SKILLS, 2)),
        attempts=tried,
    )


def plainly(child, items, weights, limit, seed):
    """Every part of every item, and every item compared at every place of the list."""
    average = Average.of(items)
    scores = {item: scoring.score(scoring.parts(child, item, average, TODAY, seed), weights) for item in items}
    subjects, skills, chosen = Counter(), Counter(), []
    while scores and len(chosen) < limit:
        values = {
            item: score
            / (1 + ranking.SAME_SUBJECT * subjects[item.subject])
            / (1 + ranking.SAME_SKILL * skills[item.subject, item.practises[0]])
            for item, score in scores.items()
        }
        best = min(values, key=lambda item: (-values[item], -scores[item], item.id))
        chosen.append((best.id, round(values[best], 4)))
        subjects[best.subject] += 1
        skills[best.subject, best.practises[0]] += 1
        del scores[best]
    return chosen


@pytest.mark.parametrize("number", range(12))
def test_the_quick_list_is_the_plain_one(number):
    luck = random.Random(number)
    items = some_items(luck, 150)
    child = some_child(luck, items)
    weights = {name: luck.choice([0, luck.random()]) for name in DEFAULT_WEIGHTS} | {"turn": 0.1}
    found = ranking.rank(child, items, weights, 25, TODAY, "7")
    assert [(each.item.id, each.score) for each in found] == plainly(child, items, weights, 25, "7")
    scored = zip(items, Scorer(child, Standing(items, weights, TODAY), "7").scores(items), strict=True)
    for item, score in scored:
        parts = scoring.parts(child, item, Average.of(items), TODAY, "7")
        assert score == pytest.approx(scoring.score(parts, weights), abs=1e-12)


# --- what is kept -----------------------------------------------------------------------------------------------------


@pytest.fixture
def keeping(make_app, database_url, redis, child, as_parent):
    """``keeping(0)``: what one of the servers ``.apps`` answers; the first two keep what they know of the library."""
    apps = [make_app(database_url, CACHE_POLL_SECONDS=seconds) for seconds in (3600, 3600, 0)]

    def get(number, limit=10, child_id=child):
        path = f"/content/child/{child_id}/recommendations?limit={limit}"
        return apps[number].test_client().get(path, headers=as_parent)

    get.apps = apps
    yield get
    for app in apps:
        with app.app_context():
            db.engine.dispose()


@guide_only
def test_kept_or_not_the_answer_is_the_same(sql, keeping, parent, child):
    sql(FILL.format(items=1500))
    others = [make_child(sql, parent) for _ in range(3)]
    for age, each in enumerate(others, 4):
        sql("UPDATE child SET age = %s WHERE id = %s", (age, each))
    sql(TRIED.format(child=child, rows=400))
    sql(TRIED.format(child=others[0], rows=40))
    for each in (child, *others):
        answers = [keeping(0, 50, each).data for _ in range(2)]  # the second finds it kept
        assert answers == 2 * [keeping(2, 50, each).data]


@guide_only
def test_what_is_kept_spares_the_library_and_knows_no_child(sql, keeping, child):
    sql(FILL.format(items=1000))
    sql(TRIED.format(child=child, rows=50))
    ids(keeping(0))
    sent = []
    with keeping.apps[0].app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *call: sent.append(call[2]))
    first = ids(keeping(0))
    assert len(sent) == 2
    sql("INSERT INTO progress (child_id, content_id, accuracy_percentage) VALUES (%s, %s, 95)", (child, first[0]))
    assert first[0] not in ids(keeping(0))


@guide_only
def test_a_change_of_the_library_counts_at_once_whoever_makes_it(sql, keeping, as_parent, make_item):
    first = make_item()
    assert ids(keeping(0)) == [first]
    draft = {"content_type": "game", "subject_area": "math", "age_range": "3-5"}
    second = keeping.apps[1].test_client().post("/content", json=draft, headers=as_parent).json["content_id"]
    assert set(ids(keeping(0))) == {first, second}
    sql("UPDATE content_library SET active = false WHERE id = %s", (first,))
    assert ids(keeping(0)) == [second]  # what is shown is read, whatever is kept
    sql("UPDATE content_library SET active = true, skill_objectives = '[\"rhyming\"]', age_range = 'all'")
    with keeping.apps[1].app_context():
        look_for_changes()
    assert set(ids(keeping(0))) == {first, second}


@guide_only
def test_without_redis_little_is_kept_and_not_for_long(sql, make_app, database_url, child, as_parent, make_item):
    make_item()
    app = make_app(database_url, CACHE_POLL_SECONDS=3600, REDIS_URL="redis://127.0.0.1:1/0")

    def found():
        return ids(app.test_client().get(f"/content/child/{child}/recommendations", headers=as_parent))

    assert len(found()) == 1
    sql("INSERT INTO content_library (content_type, subject_area, age_range, title) VALUES ('a', 'b', '3-5', 'c')")
    time.sleep(kept.AWAY_SECONDS + 0.1)
    assert len(found()) == 2
    with app.app_context():
        db.engine.dispose()


def expected_candidates(rows, share, needy, mastered):
    """Of each age range, subject, first skill and step: the first by priority, in plain Python."""
    groups = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["download_priority"] or math.inf, row["id"])):
        groups[row["age_range"], row["subject_area"], skill_of(row), row["difficulty_level"]].append(row["id"])
    found = set()
    for (_, _, skill, _), items in groups.items():
        left = [item for item in items if item not in mastered]
        kept_of_it = [item for item in items[: share * pools.NEEDY_TIMES] if item not in mastered]
        found.update(kept_of_it if skill in needy and len(kept_of_it) >= share else left[:share])
    return found


@guide_only
@pytest.mark.parametrize("skills", [200, 12])  # all are known, or most are rare
def test_candidates_are_the_first_of_each_group_that_are_not_mastered(sql, app, monkeypatch, skills):
    monkeypatch.setattr(candidates, "SKILLS", skills)
    monkeypatch.setattr(pools, "SKILLS", skills)
    monkeypatch.setattr(candidates, "NEWEST", 0)
    sql(FILL.format(items=4000))
    rows = sql("SELECT * FROM content_library WHERE active IS NOT false AND age_range IN ('3-5', 'all')")
    luck = random.Random(3)
    with app.app_context():
        pool = pools.Pool(["3-5", "all"], DEFAULT_WEIGHTS, TODAY)
        everything = {row["id"] for row in rows}
        for count in (0, 40, 900, len(rows)):
            mastered = frozenset(luck.sample(sorted(everything), count))
            needy = luck.sample([f"skill_{number}" for number in range(13)], 4)
            child = Profile(results={name: Result(20) for name in needy}, mastered=mastered)
            found = {item.id for item in pool.candidates_for(child, [])}
            expected = expected_candidates(rows, pool.share, needy, mastered)
            if skills == 200:
                assert found == expected
            else:  # all of the needy ones, and of the others some
                assert found <= expected
                assert {row["id"] for row in rows if skill_of(row) in needy} & expected <= found


def skill_of(row):
    return (row["skill_objectives"] or [""])[0].lower().replace(" ", "_")
