"""Hand-made children and items whose right answers are written down; every case without a database."""

from datetime import date, timedelta

import pytest

from library_server.config import DEFAULT_WEIGHTS
from library_server.recommendations import profile, ranking, reasons, scoring
from library_server.recommendations.items import Average, Candidate
from library_server.recommendations.profile import Attempt, Profile, Result

TODAY = date(2026, 1, 5)
RANGES = ("3-5", "6-8", "9-12", "13+", "all")
USUAL = Average(success=70, popularity=3, most=10)


def item(number=1, **told):
    return Candidate(**{"id": number, "content_type": "game", "subject": "math"} | told)


def attempt(content_id, accuracy, **told):
    return Attempt(**{"content_id": content_id, "accuracy": accuracy} | told)


def part(name, child, candidate, average=USUAL):
    return scoring.parts(child, candidate, average, TODAY, "1")[name]


def order(child, *candidates, weights=None):
    weights = dict.fromkeys(DEFAULT_WEIGHTS, 0.0) | weights if weights else DEFAULT_WEIGHTS | {"turn": 0.0}
    return [each.item.id for each in ranking.rank(child, candidates, weights, 50, TODAY, "1")]


@pytest.mark.parametrize(
    ("age", "found"),
    [(0, "3-5"), (3, "3-5"), (5, "3-5"), (6, "6-8"), (8, "6-8"), (12, "9-12"), (13, "13+"), (120, "13+")],
)
def test_an_age_is_in_a_range_or_next_to_one(age, found):
    assert profile.age_range(age, RANGES) == found


def test_ranges_that_are_none_are_passed_over():
    assert profile.age_range(7, ["all", "x-8", "6-", "-8", "5+", "²-9"]) == "5+"
    assert profile.age_range(7, ["all"]) is None


def test_the_skill_that_is_weakest_is_needed_most():
    child = Profile(results={"blending": Result(45), "rhyming": Result(95)}, strengths=frozenset(["counting"]))
    weak, unknown, strong, named = (item(skills=(skill,)) for skill in ("blending", "shapes", "rhyming", "counting"))
    needs = [part("skill_need", child, each) for each in (weak, unknown, named, strong)]
    assert needs == pytest.approx([0.55, 0.35, 0.15, 0.05])
    assert part("skill_need", child, item(skills=("rhyming", "blending"))) == pytest.approx((0.55 + 0.3) / 2)


def test_a_challenge_is_needed_even_where_its_score_is_good():
    child = Profile(results={"blending": Result(90)}, challenges=frozenset(["blending", "segmenting"]))
    assert part("skill_need", child, item(skills=("blending",))) == pytest.approx(0.6)
    assert part("skill_need", child, item(skills=("segmenting",))) == pytest.approx(0.6)


def test_an_item_without_skills_practises_its_subject():
    assert part("skill_need", Profile(results={"math": Result(20)}), item()) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("needed", "met"),
    [((), 1), (("rhyming",), 1), (("blending",), 0.5), (("rhyming", "blending"), 0.5), (("never heard of",), 0.5)],
)
def test_prerequisites_are_met_as_far_as_the_least_of_them(needed, met):
    child = Profile(results={"rhyming": Result(60), "blending": Result(30)})
    assert part("prerequisites", child, item(prerequisites=needed)) == pytest.approx(met)


def best_step(child, **told):
    fits = [part("difficulty", child, item(step=step, **told)) for step in range(3)]
    assert all(0 <= fit <= 1 for fit in fits)
    return max(range(3), key=lambda step: fits[step])


@pytest.mark.parametrize(
    ("adjustment", "step"), [(None, 1), (1.0, 1), (0.8, 1), (1.2, 1), (0.79, 0), (1.21, 2), (0.0, 0), (10.0, 2)]
)
def test_the_adjustment_shifts_one_step(adjustment, step):
    assert best_step(Profile(adjustment=adjustment)) == step


@pytest.mark.parametrize(
    ("score", "at", "step"),
    [(70, 1, 1), (92, 1, 2), (48, 1, 0), (95, 0, 1), (45, 2, 1), (100, 2, 2), (10, 0, 0), (92, None, 2), (45, None, 0)],
)
def test_recent_accuracy_shifts_one_step_from_where_it_was_reached(score, at, step):
    assert best_step(Profile(results={"blending": Result(score, at)}), skills=("blending",)) == step


def test_success_that_took_long_asks_for_nothing_harder():
    assert best_step(Profile(results={"math": Result(84, 0)})) == 1
    assert best_step(Profile(results={"math": Result(84, 0, slow=True)})) == 0


def test_what_is_too_hard_even_at_its_easiest_fits_badly():
    child = Profile(results={"blending": Result(20, 0), "rhyming": Result(65, 0)})
    hopeless, near = (item(skills=(skill,), step=0) for skill in ("blending", "rhyming"))
    assert part("difficulty", child, hopeless) == pytest.approx(1 - 50 / 60)
    assert part("difficulty", child, near) == pytest.approx(1 - 5 / 60)


def test_the_phonemic_level_counts_for_its_subject_alone():
    child = profile.build({"age": 5, "current_phonemic_level": "Beginning"}, {}, [], frozenset(), RANGES)
    assert best_step(child, subject="phonemic_awareness") == 0
    assert best_step(child, subject="science") == 1


def test_results_are_the_latest_five_and_the_newest_counts_most():
    tries = [attempt(number, accuracy, skills=("a",)) for number, accuracy in enumerate([100, 50, 50, 50, 50, 0, 0])]
    weights = [1, 0.7, 0.49, 0.343, 0.2401]
    expected = (100 + 50 * sum(weights[1:])) / sum(weights)
    assert profile.results_of(tries)["a"].score == pytest.approx(expected)


def test_an_attempt_counts_for_its_items_subject_where_it_names_no_skill():
    results = profile.results_of([attempt(1, 40, subject="math", step=2), attempt(2, None, skills=("shapes",))])
    assert results == {"math": Result(40, 2)}


def test_what_a_child_did_counts_before_what_a_table_says():
    child = profile.build({}, {"a": 90.0, "b": 70.0}, [attempt(1, 20, skills=("a",))], frozenset(), RANGES)
    assert {name: result.score for name, result in child.results.items()} == {"a": 20, "b": 70}
    assert child.needy == ["a", "b"]


def test_unfinished_work_counts_the_more_the_nearer_it_came_unless_it_may_rest():
    tries = [attempt(1, 75), attempt(2, 50), attempt(3, 10), attempt(4, 75, attempts=5), attempt(5, 75, engagement=0)]
    child = Profile(attempts=tries)
    values = [part("unfinished", child, item(number)) for number in range(1, 7)]
    assert values == pytest.approx([0.875, 0.25, 0, 0, 0.4375, 0])


def test_what_was_just_tried_rests_and_what_is_new_is_fresh():
    yesterday, long_ago = TODAY - timedelta(days=1), TODAY - timedelta(days=365)
    child = Profile(attempts=[attempt(1, 50, on=yesterday), attempt(2, 50, on=long_ago)])
    values = [part("freshness", child, item(number, created=long_ago)) for number in (1, 2, 3)]
    assert values == pytest.approx([1 / 28, 0.5, 0.5])
    assert part("freshness", child, item(3, created=TODAY)) == 1
    assert part("freshness", child, item(3, created=TODAY + timedelta(days=9))) == 1


def test_few_counts_are_shrunk_to_the_mean():
    lucky, proven, plain = item(1, uses=1, success=100), item(2, uses=500, success=95), item(3)
    assert part("success", Profile(), lucky) == pytest.approx((100 + 20 * 70) / 21 / 100)
    assert part("success", Profile(), proven) > 0.93
    assert part("success", Profile(), plain) == pytest.approx(0.7)
    assert part("popularity", Profile(), plain) == pytest.approx(0.3)
    assert part("popularity", Profile(), item(uses=1)) < part("popularity", Profile(), plain)  # one use is few
    assert part("popularity", Profile(), item(uses=1000)) > 0.85


def test_the_mean_is_of_those_that_are_used():
    average = Average.of([item(1, uses=127, success=80), item(2, uses=0, success=20), item(3, uses=50)])
    assert average.success == pytest.approx((128 * 80 + 20) / 129)
    assert Average.of([]).success == 50


def test_the_week_is_near_or_far_or_unknown():
    child = Profile(week=10)
    values = [part("week", child, item(week=week)) for week in (10, 13, 7, 16, 35, None)]
    assert values == pytest.approx([1, 0.5, 0.5, 0, 0, 0.5])
    assert part("week", Profile(), item(week=10)) == 0.5


def test_engagement_with_a_kind_is_shrunk_to_the_childs_own_mean():
    tries = [attempt(n, 50, engagement=90, content_type="game") for n in range(5)]
    tries += [attempt(n, 50, engagement=30, content_type="story") for n in range(5, 10)]
    child = Profile(attempts=tries)
    values = [part("engagement", child, item(content_type=kind)) for kind in ("game", "story", "lesson")]
    assert values == pytest.approx([0.75, 0.45, 0.6])
    assert part("engagement", Profile(), item()) == 0.5


def test_a_score_is_the_weighted_mean_of_parts_and_in_zero_to_one():
    assert scoring.score({"skill_need": 1.0, "week": 0.0}, {"skill_need": 3, "week": 1}) == 0.75
    worst = scoring.parts(Profile(results={"math": Result(100)}), item(step=0), Average(0, 0, 0), TODAY, "1")
    assert all(0 <= value <= 1 for value in worst.values())
    assert set(worst) == set(DEFAULT_WEIGHTS)


def test_what_is_mastered_is_not_offered():
    assert order(Profile(mastered=frozenset([2])), item(1), item(2), item(3)) == [1, 3]


def test_one_subject_does_not_fill_the_list():
    child = Profile(results={"math": Result(55), "science": Result(80), "art": Result(90)})
    items = [item(number, subject=subject) for number, subject in enumerate(["math"] * 20 + ["science"] * 5 + ["art"])]
    found = ranking.rank(child, items, DEFAULT_WEIGHTS, 10, TODAY, "1")
    subjects = [each.item.subject for each in found]
    assert subjects[0] == "math"
    assert 3 <= subjects.count("math") <= 6
    assert "art" in subjects
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_a_shorter_list_is_the_beginning_of_a_longer_one():
    items = [item(n, subject=f"s{n % 3}", skills=(f"k{n % 7}",), uses=n * 7, success=n) for n in range(100)]
    lists = [ranking.rank(Profile(), items, DEFAULT_WEIGHTS, limit, TODAY, "1") for limit in (1, 5, 50, 1000)]
    ids = [[each.item.id for each in found] for found in lists]
    assert [len(found) for found in ids] == [1, 5, 50, 100]
    assert ids[3][:50] == ids[2]
    assert ids[2][:5] == ids[1]


def test_the_order_is_the_same_all_day_and_another_one_for_another_child_or_day():
    items = [item(number) for number in range(30)]

    def ids(today=TODAY, seed="1", candidates=items):
        return [each.item.id for each in ranking.rank(Profile(), candidates, DEFAULT_WEIGHTS, 30, today, seed)]

    assert ids() == ids(candidates=items[::-1])
    assert len({tuple(ids()), tuple(ids(seed="2")), tuple(ids(TODAY + timedelta(days=1)))}) == 3


@pytest.mark.parametrize("name", [name for name in DEFAULT_WEIGHTS if name not in ("turn", "popularity")])
def test_each_part_decides_where_it_has_all_the_weight(name):
    child = Profile(
        week=3,
        results={"weak": Result(60, 1), "strong": Result(100, 1)},
        attempts=[
            attempt(1, 70, engagement=90, content_type="game"),
            attempt(3, 50, engagement=5, content_type="story"),
        ],
    )
    better = item(1, skills=("weak",), step=1, week=3, uses=900, success=99, created=TODAY)
    worse = item(
        2,
        content_type="story",
        skills=("strong",),
        prerequisites=("weak", "unheard"),
        step=0,
        week=30,
        uses=900,
        success=1,
    )
    assert order(child, worse, better, weights={name: 1.0}) == [1, 2]


def say(child, candidate, average=USUAL, **weights):
    parts = scoring.parts(child, candidate, average, TODAY, "1")
    return reasons.reason(child, candidate, parts, DEFAULT_WEIGHTS | weights, TODAY)


def only(name):
    return dict.fromkeys(DEFAULT_WEIGHTS, 0.0) | {name: 1.0}


def test_reasons_are_sentences_with_the_childs_own_numbers():
    child = Profile(
        week=3,
        results={"blending": Result(45.9, 1), "onset_fluency": Result(92, 1)},
        challenges=frozenset(["segmenting"]),
        attempts=[attempt(9, 62.5), *(attempt(n, 50, engagement=80, content_type="game") for n in range(10, 15))],
    )
    assert say(child, item(skills=("onset_fluency", "blending"))) == "Practises blending, which is still at 45 %."
    assert say(child, item(skills=("segmenting",))) == "Practises segmenting, which is among the skills to work on."
    assert say(child, item(skills=("shapes",)), **only("skill_need")) == (
        "Introduces shapes, for which there is no result yet."
    )
    assert say(child, item(9), **only("unfinished")) == (
        "Begun before: the last try reached 62 %, and 80 % is mastery."
    )
    assert say(child, item(prerequisites=("onset_fluency",)), **only("prerequisites")) == (
        "Builds on onset fluency, which is at 92 %."
    )
    assert say(child, item(week=3), **only("week")) == "Belongs to week 3, the current one."
    assert say(child, item(skills=("blending",), step=0), **only("difficulty")) == (
        "Its difficulty (easy) fits the results so far."
    )
    assert say(child, item(success=91, uses=420), **only("success")) == "Children succeed with it 91 % of the time."
    assert say(child, item(uses=420), **only("popularity")) == "Often used: 420 times so far."
    assert say(child, item(created=TODAY), **only("freshness")) == "New in the library."
    assert say(child, item(), **only("engagement")) == (
        "The kind of content that holds attention best (game: 80 % engagement)."
    )


def test_without_anything_to_say_the_reason_is_the_age():
    assert say(Profile(), item()) == "Chosen for the age."
    assert say(Profile(), item(step=1)) == "Its difficulty (standard) is the usual one to start with."
    assert say(Profile(adjustment=0.7), item(step=0)) == "Its difficulty (easy) fits the pace set at present."


def test_nothing_is_said_of_prerequisites_that_are_not_all_known_to_be_there():
    child = Profile(results={"a": Result(92), "b": Result(59)})
    for needed in (("a", "b"), ("a", "unheard"), ("unheard",), ()):
        assert say(child, item(prerequisites=needed), **only("prerequisites")) == "Chosen for the age."
