"""Recommendations in JSON."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

from library_server.catalog.schemas import dump_item
from library_server.recommendations.services import Recommendations
from library_server.web.inputs import PositiveNumber

DEFAULT_LIMIT, MAX_LIMIT = 10, 50
TOLD_SKILLS = 10

Limit = Annotated[
    PositiveNumber,
    Field(le=MAX_LIMIT),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}),
]


class RecommendationQuery(BaseModel):
    """How many."""

    limit: Limit = Field(DEFAULT_LIMIT, description=f"1 to {MAX_LIMIT}.")


def dump(found: Recommendations) -> dict[str, Any]:
    """The answer as the contract's section 3 prints it."""
    child = found.child
    return {
        "child_id": found.child_id,
        "child_name": found.child_name,
        "recommendations": [
            dump_item(each.item) | {"recommendation_score": each.score, "recommendation_reason": each.reason}
            for each in found.items
        ],
        "based_on": {
            "age": child.age,
            "age_range": child.age_range,
            "difficulty_adjustment": child.adjustment,
            "completed_activities": len(child.mastered),
            "attempted_activities": found.attempted,
            "week": child.week,
            "recent_accuracy": round(child.recent.score, 1) if child.recent else None,
            "skills_to_practise": child.needy[:TOLD_SKILLS],
        },
    }
