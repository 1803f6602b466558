"""The answer, for the API's description."""

from pydantic import BaseModel, Field

from library_server.catalog.replies import Item


class RecommendedItem(Item):
    """An item and why it is recommended."""

    recommendation_score: float = Field(ge=0, le=1, description="How well it suits, the best first.")
    recommendation_reason: str = Field(description="One sentence for a parent.")


class BasedOn(BaseModel):
    """What is known of the child; null where nothing is."""

    age: int | None = Field(description="Years.")
    age_range: str | None = Field(description="Where null, only items for all ages are recommended.")
    difficulty_adjustment: float | None = Field(description="1 is neutral; below 0.8 easier, above 1.2 harder.")
    completed_activities: int = Field(description="Items whose newest attempt reached 80 %.")
    attempted_activities: int = Field(description="Items with an attempt.")
    week: int | None = Field(description="Of the curriculum.")
    recent_accuracy: float | None = Field(description="Percent, of the latest attempts.")
    skills_to_practise: list[str] = Field(description="The neediest first.")


class RecommendationList(BaseModel):
    """Recommendations for a child."""

    child_id: int
    child_name: str
    recommendations: list[RecommendedItem]
    based_on: BasedOn
