"""What others stored is read without trust, and never an error."""

import math
from datetime import date
from decimal import Decimal

import pytest

from library_server.recommendations import stored

ODD = [None, True, False, "", "80", "\ud83d", [], [[]], {}, {"a": {}}, math.nan, math.inf, -math.inf, 10**400, b"x", -1]


@pytest.mark.parametrize(
    ("value", "skills"),
    [
        (["rhyming", "Onset fluency", "rhyming", " final-sounds "], ("rhyming", "onset_fluency", "final_sounds")),
        ([{"name": "blending", "level": 2}, {"skill": "rhyming"}, {"level": 1}], ("blending", "rhyming")),
        ({"primary": "blending", "others": ["rhyming", 5], "level": 3}, ("blending", "rhyming")),
        ({"blending": 60, "rhyming": None}, ("blending", "rhyming")),
        ("blending", ("blending",)),
        (["a" * 61, "\0", "half \ud83d", "", " ", 5, None, [["deep"]], "fine"], ("fine",)),
        ([f"skill {number}" for number in range(1000)], tuple(f"skill_{number}" for number in range(20))),
    ],
)
def test_skills_are_found_in_whatever_form_they_are_stored(value, skills):
    assert stored.skills(value) == skills


def test_scores_are_found_where_they_are_percentages():
    told = {"rhyming": 45, "Final sounds": {"score": 70.5}, "b": {"accuracy": 10}, "no": "text", "over": 400, "f": True}
    assert stored.scores(told) == {"rhyming": 45, "final_sounds": 70.5, "b": 10, "over": 100}


@pytest.mark.parametrize("value", ODD)
def test_nothing_odd_is_an_error(value):
    assert stored.number(value, 0, 120) is None
    assert stored.whole(value, 0, 120) is None
    assert stored.percent(value) in (None, 0)
    assert stored.day(value) is None
    assert stored.step(value) is None
    assert stored.scores(value) in ({}, {"a": None})
    assert all(isinstance(skill, str) and skill for skill in stored.skills(value))
    assert stored.scores({"skill": value, "other": {"score": value}}) in ({}, {"skill": 0, "other": 0})


def test_numbers_and_days_are_read():
    assert stored.percent(Decimal("81.5")) == 81.5
    assert stored.percent(-5) == 0
    assert stored.whole(7.9, 0, 120) == 7
    assert stored.day(Decimal("1767571200.5")) == date(2026, 1, 5)
    assert stored.day(1e18) is None


def test_both_dialects_are_the_same_three_steps():
    levels = ("beginner", "easy", "Intermediate", "standard", "advanced", " challenging ", "medium")
    assert [stored.step(level) for level in levels] == [0, 0, 1, 1, 2, 2, None]


@pytest.mark.parametrize("text", [None, "", "{", "[" * 100_000, '"blending"', '{"a": "\\ud83d"}'])
def test_text_that_is_no_json_names_no_skills(text):
    assert stored.skills_of_text(text) in ((), ("blending",))
