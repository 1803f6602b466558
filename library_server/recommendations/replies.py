"""The answer, for the API's description."""

from pydantic import BaseModel, Field

from library_server.catalog.replies import Item


class RecommendedItem(Item):
    """An item and why it is recommended."""

    recommendation_score: float = Field(ge=0, le=1, description="How well it suits, the best first.", examples=[0.82])
    recommendation_reason: str = Field(
        description="One sentence for a parent.", examples=["Practises rhyming, which is still at 62 %."]
    )


class BasedOn(BaseModel):
    """What is known of the child; null where nothing is."""

    age: int | None = Field(description="Years.", examples=[4])
    age_range: str | None = Field(description="Where null, only items for all ages are recommended.", examples=["3-5"])
    difficulty_adjustment: float | None = Field(
        description="1 is neutral; below 0.8 easier, above 1.2 harder.", examples=[1.0]
    )
    completed_activities: int = Field(description="Items whose newest attempt reached 80 %.", examples=[12])
    attempted_activities: int = Field(description="Items with an attempt.", examples=[15])
    week: int | None = Field(description="Of the curriculum.", examples=[1])
    recent_accuracy: float | None = Field(description="Percent, of the latest attempts.", examples=[84.5])
    skills_to_practise: list[str] = Field(description="The neediest first.", examples=[["rhyming"]])


class RecommendationList(BaseModel):
    """Recommendations for a child."""

    child_id: int = Field(examples=[1])
    child_name: str = Field(examples=["Mia"])
    recommendations: list[RecommendedItem]
    based_on: BasedOn
