"""What suits a child next: permit, read, rank."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from library_server.actor import Actor
from library_server.config import current_config
from library_server.lib.clock import utc_now
from library_server.recommendations import candidates, pools, profile, ranking, reasons
from library_server.recommendations.errors import AccessDenied, ChildNotFound
from library_server.recommendations.profile import Profile
from library_server.recommendations.queries import Tried, find_child
from library_server.recommendations.rows import candidate
from library_server.recommendations.skill_scores import skill_scores

EVERY_AGE = "all"


@dataclass(frozen=True)
class Recommendation:
    """An item, how well it suits (0 to 1), and a sentence that says why."""

    item: Any  # with the attributes of a ContentItem
    score: float
    reason: str


@dataclass(frozen=True)
class Recommendations:
    """The best first, and what they are based on."""

    child_id: int
    child_name: str
    child: Profile
    attempted: int  # items
    items: list[Recommendation]


def recommend(actor: Actor, child_id: int, limit: int) -> Recommendations:
    """At most `limit` items for the child. Raises AccessDenied, ChildNotFound.

    The same all day, as long as neither the child's progress nor the library changes.
    """
    row, tried = _permitted(actor, child_id)
    settings, today = current_config(), utc_now().date()
    scores = skill_scores(child_id)
    child = profile.build(row, scores, tried.latest, tried.mastered, settings.age_ranges)
    ages = [EVERY_AGE, *([child.age_range] if child.age_range else [])]
    weights = settings.recommendation_weights
    pool = pools.find_pool(ages, weights, today)
    found = pool.candidates_for(child, (candidate(row) for row in tried.begun if row.age_range in ages))
    ranked = ranking.best(child, found, pool.standing, limit, str(child_id))
    told = _told(child, ranked, weights, today)
    return Recommendations(child_id, str(row.get("name") or ""), child, tried.count, told)


def _permitted(actor: Actor, child_id: int) -> tuple[Mapping[str, Any], Tried]:
    if actor.kind == "child" and actor.id != child_id:
        raise AccessDenied
    found = find_child(child_id)
    if found is None:
        raise ChildNotFound
    if actor.kind == "parent" and found[0].get("parent_id") != actor.id:
        raise AccessDenied
    return found


def _told(
    child: Profile, ranked: list[ranking.Ranked], weights: Mapping[str, float], today: date
) -> list[Recommendation]:
    items = candidates.find_items([each.item.id for each in ranked])
    return [
        Recommendation(items[each.item.id], each.score, reasons.reason(child, each.item, each.parts, weights, today))
        for each in ranked
        if each.item.id in items
    ]
