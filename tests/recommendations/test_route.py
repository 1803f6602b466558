"""The route on real databases of each shape: what it answers, for whom, from what, and what it costs."""

import json
import random
import re
from datetime import datetime, timedelta

import flask_migrate
import pytest
from sqlalchemy import event

from library_server.config import DEFAULT_WEIGHTS
from library_server.extensions import db
from tests.conftest import bearer, make_child, make_parent, run_sql

one_shape = pytest.mark.parametrize("shape", ["backend"])
guide_only = pytest.mark.parametrize("shape", ["guide"])
backend_only = pytest.mark.parametrize("shape", ["backend"])
SUBJECTS = ("phonemic_awareness", "math", "science", "geography")
BASED_ON = {
    *("age", "age_range", "difficulty_adjustment", "completed_activities", "attempted_activities", "week"),
    *("recent_accuracy", "skills_to_practise"),
}


@pytest.fixture
def ask(client, child, as_parent):
    """``ask(limit=5)``: the answer to the parent of `child`."""

    def get(headers=None, child_id=None, **query):
        path = f"/content/child/{child if child_id is None else child_id}/recommendations"
        return client.get(path, query_string=query, headers=as_parent if headers is None else headers)

    return get


@pytest.fixture
def tried(sql, child):
    """``tried(item, 60)``: adds a row of progress."""

    def add(item, accuracy, at="2026-01-05", **values):
        values = {"child_id": child, "content_id": item, "accuracy_percentage": accuracy, "session_date": at} | values
        marks = ", ".join(["%s"] * len(values))
        sql(f"INSERT INTO progress ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))

    return add


def ids(answer):
    assert answer.status_code == 200, answer.json
    return [item["content_id"] for item in answer.json["recommendations"]]


def test_the_answer_has_the_contracts_shape(client, ask, child, as_child, make_item):
    item = make_item(age_range="3-5", file_path="audio/a.mp3", difficulty_level="standard")
    answer = ask()
    assert answer.json == ask(as_child).json
    assert list(answer.json) == ["child_id", "child_name", "recommendations", "based_on"]
    assert (answer.json["child_id"], answer.json["child_name"]) == (child, "Kim")
    found = answer.json["recommendations"][0]
    score, reason = found.pop("recommendation_score"), found.pop("recommendation_reason")
    assert 0 <= score <= 1
    assert reason == "Its difficulty (standard) is the usual one to start with."
    assert found == client.get(f"/content/{item}", headers=as_child).json["content"]
    assert set(answer.json["based_on"]) == BASED_ON
    assert (
        answer.json["based_on"] | {"age": 5, "age_range": "3-5", "completed_activities": 0} == answer.json["based_on"]
    )


@one_shape
def test_both_slashes_and_revalidation(client, ask, child, as_parent, make_item):
    make_item()
    etag = ask().headers["ETag"]
    again = client.get(f"/content/child/{child}/recommendations/", headers=as_parent | {"If-None-Match": etag})
    assert (again.status_code, again.data) == (304, b"")


@one_shape
def test_an_empty_library_has_nothing_to_recommend(ask):
    assert ids(ask()) == []


@one_shape
def test_a_limit_is_1_to_50(ask, make_item):
    for _ in range(60):
        make_item()
    assert len(ids(ask())) == 10
    assert [len(ids(ask(limit=limit))) for limit in ("1", "50", "007")] == [1, 50, 7]
    for limit in ("", "0", "51", "-1", "1.5", "ten", "1e1", "9" * 5000, "\0", "٣", " 5"):
        answer = ask(limit=limit)
        assert (answer.status_code, "limit" in answer.json["message"]) == (400, True), limit


def test_who_may_ask(client, ask, sql, parent, child, make_item):
    item, sibling = make_item(), make_child(sql, parent)
    other_parent = make_parent(sql)
    strange_child = make_child(sql, other_parent)
    missing = 2**31 - 1

    def parent_token(who):
        return bearer(user_id=who, user_type="parent")

    def child_token(who):
        return bearer(id=who, type="child")

    denied, unknown = (403, {"message": "Access denied"}), (404, {"message": "Child not found"})
    for headers, who, expected in [
        ({}, child, (401, {"message": "Authentication token is missing"})),
        (bearer(user_id=missing, user_type="parent"), child, (401, {"message": "User not found"})),
        (parent_token(parent), child, item),
        (parent_token(parent), sibling, item),
        (child_token(child), child, item),
        (child_token(child), sibling, denied),
        (child_token(strange_child), child, denied),
        (child_token(child), missing, denied),
        (parent_token(other_parent), child, denied),
        (parent_token(other_parent), strange_child, item),
        (parent_token(parent), missing, unknown),
        (parent_token(parent), 0, unknown),
        (parent_token(parent), 10**30, unknown),
    ]:
        answer = ask(headers, who)
        if isinstance(expected, int):
            assert ids(answer) == [expected]
        else:
            assert (answer.status_code, answer.json) == expected, (headers, who)


def test_only_active_items_of_the_childs_age_are_offered(sql, ask, make_item):
    fitting = {make_item(age_range="3-5"), make_item(age_range="all", active=None)}
    for other in ("6-8", "9-12", "13+", "", "3-5 "):
        make_item(age_range=other)
    make_item(active=False)
    assert set(ids(ask(limit=50))) == fitting
    sql("UPDATE child SET age = 11")
    assert len(ids(ask(limit=50))) == 2  # 9-12 and all


@guide_only
def test_a_child_of_unknown_age_gets_what_is_for_every_age(sql, ask, make_item):
    make_item(age_range="3-5")
    everybody = make_item(age_range="all")
    for age in (None, -1, 999):
        sql("UPDATE child SET age = %s", (age,))
        answer = ask()
        assert ids(answer) == [everybody]
        assert (answer.json["based_on"]["age"], answer.json["based_on"]["age_range"]) == (None, None)


@guide_only
def test_mastered_is_80_on_the_newest_attempt(ask, make_item, tried):
    items = [make_item() for _ in range(8)]
    lapsed, mastered, at_80, below, undated, unrated, odd, untried = items
    tried(lapsed, 95, "2025-01-01"), tried(lapsed, 40, "2025-06-01")
    tried(mastered, 40, "2025-01-01"), tried(mastered, 95, "2025-06-01")
    tried(at_80, 80)
    tried(below, 79.99)
    tried(undated, 30, "2025-01-01"), tried(undated, 95, None)
    tried(unrated, None)
    tried(odd, "NaN")
    answer = ask()
    assert set(ids(answer)) == {lapsed, below, undated, unrated, odd, untried}
    based_on = answer.json["based_on"]
    assert (based_on["completed_activities"], based_on["attempted_activities"]) == (2, 7)


@guide_only
def test_a_weak_skill_comes_first_and_the_reason_names_it(ask, make_item, tried):
    done = [
        make_item(skill_objectives=[skill], difficulty_level="easy") for skill in ("blending", "rhyming", "rhyming")
    ]
    for item, accuracy in zip(done, (45, 95, 90), strict=True):
        tried(item, accuracy)
    other = make_item(skill_objectives=["rhyming"], difficulty_level="easy")
    blending = make_item(skill_objectives=["Blending"], difficulty_level="beginner")
    found = {item["content_id"]: item for item in ask().json["recommendations"]}
    assert set(found) == {done[0], other, blending}
    assert found[blending]["recommendation_reason"] == "Practises blending, which is still at 45 %."
    assert found[blending]["recommendation_score"] > found[other]["recommendation_score"]
    assert ask().json["based_on"]["skills_to_practise"] == ["blending"]


@backend_only
def test_scores_strengths_challenges_and_week_of_the_backend_count(sql, ask, child, make_item):
    sql("UPDATE child SET current_week = 12, skill_strengths = '[\"shapes\"]', skill_challenges = '[\"counting\"]'")
    sql("INSERT INTO progress (child_id, blending, rhyming) VALUES (%s, 45.4, 92)", (child,))
    scores = '{"segmenting": 30, "blending": 99}'
    sql(
        "INSERT INTO assessments (child_id, assessment_type, skill_scores, administered_at) "
        "VALUES (%s, 'weekly', '{\"segmenting\": 80}', '2025-01-01'), (%s, 'weekly', %s, '2025-06-01')",
        (child, child, scores),
    )
    names = ("blending", "segmenting", "counting", "rhyming", "shapes")
    items = {make_item(skill_objectives=[name], difficulty_level="easy"): name for name in names}
    make_item(content_metadata={"week": 12}, subject_area="science")
    answer = ask()
    found = {items.get(item["content_id"]): item for item in answer.json["recommendations"]}
    assert found["blending"]["recommendation_reason"] == "Practises blending, which is still at 45 %."
    assert found["segmenting"]["recommendation_reason"] == "Practises segmenting, which is still at 30 %."
    assert found["counting"]["recommendation_reason"] == "Practises counting, which is among the skills to work on."
    assert found["blending"]["recommendation_score"] > found["rhyming"]["recommendation_score"]
    assert answer.json["based_on"]["week"] == 12
    assert answer.json["based_on"]["skills_to_practise"] == ["segmenting", "blending", "counting"]


@guide_only
def test_the_list_is_the_same_until_progress_changes(ask, make_item, tried):
    items = [make_item(skill_objectives=[f"skill {n % 5}"], subject_area=SUBJECTS[n % 4]) for n in range(40)]
    before = ask()
    assert before.data == ask().data
    tried(ids(before)[0], 90)
    after = ask()
    assert ids(before)[0] in items
    assert ids(before)[0] not in ids(after)
    tried(ids(after)[0], 30, skill_level="beginning")
    assert ids(ask()) != ids(after)


@one_shape
def test_a_few_views_change_nothing(make_app, database_url, child, as_parent, sql):
    sql(FILL.format(items=1000))
    sql("UPDATE content_library SET usage_count = 63 + usage_count % 3 * 64")

    def listed():
        app = make_app(database_url)  # which has read nothing yet
        answer = app.test_client().get(f"/content/child/{child}/recommendations?limit=50", headers=as_parent)
        with app.app_context():
            db.engine.dispose()
        return [(item["content_id"], item["recommendation_score"]) for item in answer.json["recommendations"]]

    before = listed()
    sql("UPDATE content_library SET usage_count = usage_count + 1 + id % 40")
    assert len(before) == 50
    assert listed() == before


@guide_only
def test_of_a_child_with_very_many_attempts_nothing_untrue_is_said(ask, sql, child, make_item, tried):
    tried(make_item(skill_objectives=["blending"]), 30, at="2020-01-01")
    sql(FILL.format(items=400))
    for item in sql("SELECT id FROM content_library WHERE id > 1 ORDER BY id LIMIT 320"):
        tried(item["id"], 95)
    make_item(skill_objectives=["blending"], title="wanted")
    told = {item["title"]: item["recommendation_reason"] for item in ask(limit=50).json["recommendations"]}
    assert told["wanted"] == "Practises blending, for which there is no recent result."


@one_shape
def test_weights_are_a_setting(make_app, database_url, child, as_parent, make_item):
    popular, fresh = make_item(usage_count=900), make_item(usage_count=0, created_at="2999-01-01")
    firsts = []
    for name in ("popularity", "freshness"):
        weights = ",".join(f"{part}={int(part == name)}" for part in DEFAULT_WEIGHTS)
        app = make_app(database_url, RECOMMENDATION_WEIGHTS=weights)
        firsts.append(ids(app.test_client().get(f"/content/child/{child}/recommendations", headers=as_parent))[0])
        with app.app_context():
            db.engine.dispose()
    assert firsts == [popular, fresh]


# --- thousands of items ---------------------------------------------------------------------------------------------

FILL = """
INSERT INTO content_library (content_type, subject_area, age_range, title, skill_objectives, prerequisite_skills,
    content_metadata, download_priority, difficulty_level, active, usage_count, success_rate, created_at)
SELECT (ARRAY['activity','lesson','story','game'])[1 + i % 4],
    (ARRAY['phonemic_awareness','math','science','geography'])[1 + i / 4 % 4], (ARRAY['3-5','6-8','all'])[1 + i % 3],
    'Item ' || i, CASE WHEN i % 11 > 0 THEN json_build_array('skill_' || i % 13, 'Skill ' || i % 7) END,
    CASE WHEN i % 5 > 0 THEN json_build_array('skill_' || i % 9) END, json_build_object('week', i % 35),
    nullif(i % 10, 0), (ARRAY['beginner','standard','challenging',NULL])[1 + i % 4],
    i % 50 > 0, i * 7 % 900, i * 3 % 101,    now() - i * interval '1 day'
FROM generate_series(1, {items}) i
"""
TRIED = """
INSERT INTO progress (child_id, content_id, accuracy_percentage, attempts_count, engagement_score, session_date)
SELECT {child}, i * 3, i * 37 % 101, 1 + i % 6, i * 13 % 101, now() - i * interval '1 hour'
FROM generate_series(1, {rows}) i
"""


@guide_only
def test_every_reason_is_true_of_its_item(make_app, database_url, redis, sql, child, as_parent):
    sql(FILL.format(items=2000))
    sql(TRIED.format(child=child, rows=300))
    sql("UPDATE content_library SET content_type = 'lesson' WHERE content_type <> 'game'")
    sql(
        "UPDATE progress SET engagement_score = 90 "
        "FROM content_library c WHERE c.id = content_id AND content_type = 'game';"
        "UPDATE progress SET accuracy_percentage = 79 WHERE content_id % 13 IN (1, 2) OR content_id % 7 IN (1, 2)"
    )
    newest = {row["content_id"]: row for row in sql("SELECT * FROM progress")}
    first_words = set()
    for part in ("", *DEFAULT_WEIGHTS):
        weights = ",".join(f"{name}={int(name == part)}" for name in DEFAULT_WEIGHTS) if part else ""
        app = make_app(database_url, RECOMMENDATION_WEIGHTS=weights)
        answer = app.test_client().get(f"/content/child/{child}/recommendations?limit=50", headers=as_parent)
        assert len(set(ids(answer))) == 50
        for item in answer.json["recommendations"]:
            assert item["active"]
            assert item["age_range"] in ("all", "3-5")
            assert newest.get(item["content_id"], {"accuracy_percentage": 0})["accuracy_percentage"] < 80
            verify(item, newest.get(item["content_id"]))
            first_words.add(item["recommendation_reason"].split()[0])
        with app.app_context():
            db.engine.dispose()
    assert first_words == {"Practises", "Begun", "Builds", "Its", "Children", "Often", "New", "The", "Chosen"}


def verify(item, attempt):
    """That the sentence is true, by what the database holds."""
    reason = item["recommendation_reason"]
    skills = {skill.lower().replace(" ", "_") for skill in item["skill_objectives"]} or {item["subject_area"]}
    if found := re.fullmatch(r"Practises (.+), which is still at (\d+) %\.", reason):
        assert found[1].replace(" ", "_") in skills
        assert int(found[2]) < 80
    elif found := re.fullmatch(r"Begun before: the last try reached (\d+) %, and 80 % is mastery\.", reason):
        assert int(found[1]) == int(attempt["accuracy_percentage"])
    elif found := re.fullmatch(r"Builds on (.+), which is at (\d+) %\.", reason):
        assert item["prerequisite_skills"] == [found[1].replace(" ", "_")]
        assert int(found[2]) >= 60
    elif found := re.fullmatch(r"Its difficulty \((\w+)\) fits the results so far\.", reason):
        assert {"beginner": "easy"}.get(item["difficulty_level"], item["difficulty_level"]) == found[1]
    elif found := re.fullmatch(r"Children succeed with it (\d+) % of the time\.", reason):
        assert item["success_rate"] == int(found[1]) >= 80
    elif found := re.fullmatch(r"Often used: (\d+) times so far\.", reason):
        assert item["usage_count"] == int(found[1]) >= 50
    elif reason == "New in the library.":
        assert item["created_at"] >= (datetime.now() - timedelta(days=32)).isoformat()
    elif found := re.fullmatch(
        r"The kind of content that holds attention best \((\w+): (\d+) % engagement\)\.", reason
    ):
        assert item["content_type"] == found[1]
        assert 0 < int(found[2]) <= 100
    else:
        assert reason == "Chosen for the age."


@guide_only
def test_a_weak_skill_is_found_among_thousands_of_more_urgent_items(sql, ask, make_item, tried):
    sql(FILL.format(items=4000))
    tried(make_item(skill_objectives=["blending"], difficulty_level="standard", active=False), 45)
    rare = {make_item(skill_objectives=["blending"], difficulty_level="easy", download_priority=10) for _ in range(3)}
    sql(FILL.format(items=300))  # so that they are not the newest
    sql("UPDATE content_library SET usage_count = NULL, success_rate = NULL")
    assert ids(ask())[0] in rare


@guide_only
def test_one_subject_does_not_fill_the_list(sql, ask):
    sql(FILL.format(items=3000))
    sql("UPDATE content_library SET download_priority = 10 WHERE subject_area <> 'math'")
    subjects = [item["subject_area"] for item in ask().json["recommendations"]]
    assert set(subjects) == set(SUBJECTS)
    assert max(map(subjects.count, SUBJECTS)) <= 5


@guide_only
def test_a_request_costs_the_same_statements_however_much_there_is(sql, ask, child, make_item, tried, statements):
    tried(make_item(), 50)
    ask()
    statements.clear()
    ask()
    few = list(statements)
    sql(FILL.format(items=3000))
    sql(TRIED.format(child=child, rows=1000))
    statements.clear()
    assert len(ids(ask(limit=50))) == 50
    assert len(statements) <= len(few) + 1 <= 7  # one more where what we have of a skill is mastered


@guide_only
def test_candidates_come_from_the_index_and_are_few(app, sql, ask, child):
    sql(FILL.format(items=20_000))
    sql("ANALYZE content_library")
    plans = []

    def explain(connection, cursor, statement, parameters, *rest):
        if "RECURSIVE" in statement and not statement.startswith("EXPLAIN"):
            with connection.connection.cursor() as own:
                own.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
                plans.extend(own.fetchone()[0])

    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", explain)
    assert len(ids(ask())) == 10
    text = json.dumps(plans)
    assert '"Seq Scan"' not in text
    assert "ix_library_recommend" in text
    assert plans[0]["Plan"]["Actual Rows"] < 3000


# --- odd databases and odd values -----------------------------------------------------------------------------------


@pytest.fixture
def altered(create_database, make_app):
    """``altered("guide", "ALTER …")``: a client of a new database of that shape, changed so, with a family."""
    apps = []

    def make(shape, statements):
        url = create_database(shape)
        run_sql(url, statements)
        app = make_app(url)
        apps.append(app)
        with app.app_context():
            flask_migrate.upgrade()
        run_sql(
            url,
            "INSERT INTO parent (id, uuid, name, email, password_hash) VALUES (1, '1', 'Pat', 'p', 'x');"
            "INSERT INTO child (id, uuid, parent_id, name, age) VALUES (1, '1', 1, 'Kim', 5);"
            "INSERT INTO content_library (content_type, subject_area, age_range, title, skill_objectives) "
            "SELECT 'game', 'math', '3-5', 'Item ' || i, json_build_array('skill_' || i) FROM generate_series(1, 5) i",
        )
        return app.test_client(), lambda statement: run_sql(url, statement)

    yield make
    for app in apps:
        with app.app_context():
            db.engine.dispose()


def recommendations(client):
    answer = client.get("/content/child/1/recommendations", headers=bearer(user_id=1, user_type="parent"))
    assert answer.status_code == 200, answer.json
    return answer.json


def test_a_database_with_what_both_have(altered, redis):
    client, sql = altered(
        "guide",
        "ALTER TABLE progress ADD skill_2 INTEGER, ADD rhyming DOUBLE PRECISION, ALTER content_id DROP NOT NULL;"
        "ALTER TABLE child ADD current_week INTEGER, ADD skill_challenges JSON",
    )
    sql("UPDATE child SET current_week = 3, skill_challenges = '[\"skill_4\"]', ai_difficulty_adjustment = 0.7")
    sql("INSERT INTO progress (child_id, content_id, accuracy_percentage, rhyming) VALUES (1, 1, 90, 33)")
    sql("INSERT INTO progress (child_id, content_id, accuracy_percentage, rhyming) VALUES (1, 3, 20, 44)")
    sql("INSERT INTO progress (child_id, content_id) VALUES (1, NULL)")
    sql("UPDATE content_library SET skill_objectives = '[\"rhyming\"]' WHERE id = 5")
    found = recommendations(client)
    reasons = {item["content_id"]: item["recommendation_reason"] for item in found["recommendations"]}
    assert set(reasons) == {2, 3, 4, 5}
    assert reasons[3] == "Practises skill 3, which is still at 20 %."
    assert reasons[4] == "Practises skill 4, which is among the skills to work on."
    assert found["based_on"] | {"week": 3, "difficulty_adjustment": 0.7} == found["based_on"]
    assert set(found["based_on"]["skills_to_practise"]) == {"skill_3", "skill_4", "rhyming"}


def test_a_database_with_neither_recommends_by_age_alone(altered, redis):
    client, sql = altered(
        "guide",
        "DROP TABLE progress; ALTER TABLE child DROP current_phonemic_level, DROP ai_difficulty_adjustment",
    )
    found = recommendations(client)
    assert len(found["recommendations"]) == 5
    assert {item["recommendation_reason"] for item in found["recommendations"]} == {"Chosen for the age."}
    sql("ALTER TABLE child DROP age, DROP name")
    client.application.extensions["library_schema"].clear()
    assert recommendations(client)["child_name"] == ""


def test_where_nobody_knows_whose_the_child_is_only_the_child_is_told(altered, redis):
    client, sql = altered("guide", "ALTER TABLE child ALTER parent_id DROP NOT NULL")
    sql("ALTER TABLE child RENAME parent_id TO guardian")
    path = "/content/child/1/recommendations"
    assert client.get(path, headers=bearer(user_id=1, user_type="parent")).status_code == 403
    assert client.get(path, headers=bearer(user_id=1, user_type="child")).status_code == 200


ODD_JSON = [
    "null", "5", '"blending"', "[]", "{}", "[null, 5, [[]], {}]", '{"blending": "NaN"}', '{"blending": 1e400}',
    '["\\u0000", "\\ud83d"]', f'["{"x" * 10_000}"]', "[" * 5000 + "]" * 5000, json.dumps(["a"] * 5000),
]  # fmt: skip


@backend_only
def test_odd_values_of_the_backend_are_no_error(sql, ask, child, make_item):
    item = make_item()
    sql("INSERT INTO progress (child_id) VALUES (%s)", (child,))
    for value in ODD_JSON:
        sql("UPDATE child SET skill_strengths = %s, skill_challenges = %s", (value, value))
        sql("DELETE FROM assessments")
        sql("INSERT INTO assessments (child_id, assessment_type, skill_scores) VALUES (%s, 'x', %s)", (child, value))
        sql("UPDATE content_library SET skill_objectives = %s, prerequisite_skills = %s", (value, value))
        sql("UPDATE content_library SET content_metadata = %s", (value,))
        assert ids(ask()) == [item], value
    for score in ("NaN", "Infinity", "-Infinity", -5, 1e300, None):
        sql("UPDATE progress SET blending = %s, rhyming = %s", (score, score))
        sql("UPDATE child SET current_week = %s, age = %s", (-(2**31), 2**31 - 1))
        ids(ask())


@guide_only
def test_odd_values_of_the_guide_are_no_error(sql, ask, make_item, tried):
    items = [make_item() for _ in range(5)]
    numbers = ("NaN", "Infinity", "-Infinity", -1e300, 1e300, None)
    for number, when in zip(
        numbers, ("infinity", "-infinity", "4000-01-01 BC", "290000-01-01", None, "1970-01-01"), strict=True
    ):
        tried(items[0], number, when, engagement_score=number, attempts_count=-5, completion_time=-1)
        tried(items[1], 50, when, phonemic_skill="\u200b" * 99, attempts_count=2**31 - 1, completion_time=2**31 - 1)
        sql("UPDATE child SET ai_difficulty_adjustment = %s, current_phonemic_level = '?' ", (number,))
        sql("UPDATE content_library SET success_rate = -2147483648, usage_count = 2147483647, download_priority = NULL")
        answer = ask()
        assert len(ids(answer)) >= 4
        assert all(0 <= item["recommendation_score"] <= 1 for item in answer.json["recommendations"])
        assert answer.json["based_on"]["difficulty_adjustment"] is None


@guide_only
def test_random_children_get_valid_answers(sql, ask, child):
    sql(FILL.format(items=500))
    luck = random.Random(5)
    for _ in range(12):
        sql("UPDATE child SET age = %s, ai_difficulty_adjustment = %s", (luck.randint(0, 20), luck.uniform(-1, 3)))
        sql("DELETE FROM progress")
        sql(TRIED.format(child=child, rows=luck.randint(1, 160)))
        answer = ask(limit=luck.randint(1, 50))
        scores = [item["recommendation_score"] for item in answer.json["recommendations"]]
        assert scores == sorted(scores, reverse=True)
        assert scores
