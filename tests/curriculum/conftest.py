"""The three resources, as a client sees them, and short ways to fill and read one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient


@dataclass(frozen=True)
class Kind:
    """A resource: its URL, the keys of its answers, its table, and a good body with everything in it."""

    path: str
    one: str
    many: str
    table: str
    whole: dict[str, Any]
    required: tuple[str, ...]
    filters: tuple[str, ...]
    also: dict[str, Any] = field(default_factory=dict)  # what an answer has beside its columns

    @property
    def least(self) -> dict[str, Any]:
        """A good body with what is required, and no more."""
        return {name: self.whole[name] for name in self.required}

    @property
    def noun(self) -> str:
        """How messages begin."""
        return self.one.capitalize()


LESSON = Kind(
    path="/content/curriculum/heggerty",
    one="lesson",
    many="lessons",
    table="heggerty_curriculum_data",
    whole={
        "lesson_number": 3,
        "skill_focus": "rhyming",
        "activity_type": "song",
        "content_data": {"words": ["cat", "größe", "🕷️"], "minutes": 5},
        "audio_file_path": "audio/été 1.mp3",
        "difficulty_progression": "beginner",
    },
    required=("lesson_number", "skill_focus", "activity_type"),
    filters=("lesson_number", "lesson_from", "lesson_to", "skill_focus", "activity_type"),
)
RHYME = Kind(
    path="/content/curriculum/nursery-rhymes",
    one="rhyme",
    many="rhymes",
    table="nursery_rhyme_data",
    whole={
        "rhyme_name": "Hickory Dickory Dock",
        "lyrics": "Hickory, dickory, dock,\nthe mouse ran up the clock.",
        "audio_file_path": "audio/mouse.mp3",
        "learning_objectives": ["rhyming", {"week": 1}],
        "motor_skills": [],
        "age_appropriate": "3-5",
    },
    required=("rhyme_name",),
    filters=("age_appropriate", "q"),
)
UNIT = Kind(
    path="/content/curriculum/multi-subject",
    one="unit",
    many="units",
    table="multi_subject_curriculum",
    whole={
        "subject": "science",
        "grade_level": "K",
        "unit_title": "Why leaves fall",
        "lesson_sequence": 2,
        "learning_objectives": ["observing"],
        "content_structure": {"parts": [1, 2.5, None, True]},
        "assessment_criteria": [],
        "resources": {},
        "difficulty_progression": "standard",
        "estimated_duration": 45,
    },
    required=("subject", "grade_level", "unit_title", "lesson_sequence"),
    filters=("subject", "grade_level"),
    also={"previous": None, "next": None},
)
KINDS = (LESSON, RHYME, UNIT)

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.many)
one_shape = pytest.mark.parametrize("shape", ["backend"])


@pytest.fixture
def create(client: FlaskClient, as_parent: dict[str, str]) -> Callable[..., int]:
    """``create(LESSON, lesson_number=4)``: makes a row through the API, and returns its id."""

    def make(kind: Kind, **values: Any) -> int:
        response = client.post(kind.path, json=kind.least | values, headers=as_parent)
        assert response.status_code == 201, response.get_json()
        return int(response.get_json()["id"])

    return make


@pytest.fixture
def get(client: FlaskClient, as_child: dict[str, str]) -> Callable[..., Any]:
    """``get("/content/…", page=2)``: the body of an answer that must be good."""

    def fetch(path: str, **query: Any) -> Any:
        response = client.get(path, query_string=query, headers=as_child)
        assert response.status_code == 200, response.get_json()
        return response.get_json()

    return fetch
