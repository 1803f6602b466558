"""What suits a child next: permit, read, rank."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from library_server.actor import Actor
from library_server.config import current_config
from library_server.lib.clock import utc_now
from library_server.recommendations import candidates, kept, profile, queries, ranking, reasons
from library_server.recommendations.errors import AccessDenied, ChildNotFound
from library_server.recommendations.items import Candidate
from library_server.recommendations.profile import Attempt, Profile
from library_server.recommendations.skill_scores import skill_scores

EVERY_AGE = "all"
UNFINISHED = 100  # items begun that are scored whatever else is


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

    The same all day, as long as neither the child's progress nor the library changes, nor the use of an item doubles.
    """
    row, tried = _permitted(actor, child_id)
    settings, today = current_config(), utc_now().date()
    library = kept.library(weights := settings.recommendation_weights, today)
    items = library.items([each[0] for each in tried.latest])
    attempts = queries.attempts(tried.latest, items)
    whole = tried.count == len(attempts)
    child = profile.build(row, skill_scores(child_id), attempts, tried.mastered, settings.age_ranges, whole)
    ages = [EVERY_AGE, *([child.age_range] if child.age_range else [])]
    pool = library.pool(ages)
    found = pool.candidates_for(child, _begun(attempts, items, ages))
    ranked = ranking.best(child, found, pool.standing, limit, str(child_id))
    told = _told(child, ranked, weights, today)
    return Recommendations(child_id, str(row.get("name") or ""), child, tried.count, told)


def _permitted(actor: Actor, child_id: int) -> tuple[Mapping[str, Any], queries.Tried]:
    if actor.kind == "child" and actor.id != child_id:
        raise AccessDenied
    found = queries.find_child(child_id)
    if found is None:
        raise ChildNotFound
    if actor.kind == "parent" and found[0].get("parent_id") != actor.id:
        raise AccessDenied
    return found


def _begun(
    attempts: Iterable[Attempt], items: Mapping[int, Candidate | None], ages: Collection[str]
) -> list[Candidate]:
    """The latest that are still to be mastered."""
    begun = [items[each.content_id] for each in attempts if not each.mastered][:UNFINISHED]
    return [item for item in begun if item is not None and item.shown and item.age_range in ages]


def _told(
    child: Profile, ranked: list[ranking.Ranked], weights: Mapping[str, float], today: date
) -> list[Recommendation]:
    items = candidates.find_items([each.item.id for each in ranked])
    return [
        Recommendation(items[each.item.id], each.score, reasons.reason(child, each.item, each.parts, weights, today))
        for each in ranked
        if each.item.id in items
    ]
