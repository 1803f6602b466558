"""How well an item suits a child: named parts from 0 to 1, and their weighted mean (docs/recommendations.md)."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import date

from library_server.recommendations import profile as known
from library_server.recommendations.items import FEW, Average, Candidate, Traits
from library_server.recommendations.profile import Profile

UNKNOWN = 0.5  # a part of which nothing is known
CHALLENGE_NEED, UNKNOWN_NEED, STRENGTH_NEED = 0.6, 0.35, 0.15  # of skills without a score
NAMED_READINESS = 0.35  # less than unknown for a challenge, more for a strength
MIDDLE = 1  # the step where a child starts of whom nothing is known
USUAL = 70.0  # percent that teaches: neither sure nor hopeless
STEP = 20.0  # percent that a step of difficulty costs
TOO_FAR = 60.0  # percent between what is expected and what is wanted: fits not at all
HOPELESS = 40.0  # percent: an item that went so badly is not unfinished, but too hard
NEW_DAYS = 90
REST_DAYS = 14
PHONEMIC = "phonemic_awareness"
FEW_ATTEMPTS = 5  # as many of a kind of content are believed half of a child's engagement with it
WEEKS_AWAY = 6
GIVE_IT_REST = 5  # attempts without mastery
HIGHEST_LOT = 0xFFFF_FFFF


def score(parts: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The weighted mean of `parts`, 0 to 1."""
    return math.fsum(weights[name] * value for name, value in parts.items()) / math.fsum(weights.values())


def parts(child: Profile, item: Candidate, average: Average, today: date, seed: str) -> dict[str, float]:
    """Every part by its name, each from 0 to 1. `quick.Scorer` adds up the same ones."""
    return {
        "skill_need": skill_need(child, item.practises),
        "prerequisites": readiness(child, item.prerequisites),
        "difficulty": fit(expected_accuracy(child, item, average) - wanted_accuracy(child)),
        "unfinished": unfinished(child, item),
        "engagement": engagement(child, item.content_type),
        "week": nearness_of_week(child, item.week),
        "success": success(item, average),
        "popularity": popularity(item, average),
        "freshness": (rested(child, item, today) + newness(item, today)) / 2,
        "turn": turn(item, key_of_turns(today, seed)),
    }


def need(child: Profile, skill: str) -> float:
    """How much a skill wants practice, 0 to 1."""
    result = child.results.get(skill)
    named = (skill in child.challenges) - (skill in child.strengths)
    if result is None:
        return CHALLENGE_NEED if named > 0 else STRENGTH_NEED if named < 0 else UNKNOWN_NEED
    return max(1 - result.score / 100, CHALLENGE_NEED if named > 0 else 0.0)


def skill_need(child: Profile, practises: Sequence[str]) -> float:
    """How much an item's skills want practice."""
    if len(practises) == 1:
        return need(child, practises[0])
    needs = [need(child, name) for name in practises]
    return (max(needs) + sum(needs) / len(needs)) / 2


def readiness(child: Profile, prerequisites: Sequence[str]) -> float:
    """How far what an item builds on is there: as far as the least of it."""
    return min([_readiness(child, name) for name in prerequisites]) if prerequisites else 1.0


def _readiness(child: Profile, skill: str) -> float:
    result = child.results.get(skill)
    if result is not None:
        return min(1.0, result.score / known.NEEDED_BEFORE)
    named = (skill in child.challenges) - (skill in child.strengths)
    return UNKNOWN - NAMED_READINESS * named


def expected_accuracy(child: Profile, item: Candidate, average: Average) -> float:
    """Percent that the child may reach with the item; below 0 and above 100 are harder and easier than that.

    Where its success is proven by use, that counts up to half instead of its step.
    """
    expected, usual = expectation(child, item.traits, average)
    return expected + item.proven * ((item.success or 0) - usual)


def expectation(child: Profile, traits: Traits, average: Average) -> tuple[float, float]:
    """Percent that the child may reach with items like this, and how many others succeed with what is as hard for it.

    Its results in the item's weakest skill, one step of difficulty up or down for `STEP` points. Where the skill is
    unknown it is expected to do as usual in the middle, and half as its latest results.
    """
    result = None
    for name in traits.practises:
        found = child.results.get(name)
        if found is not None and (result is None or found.score < result.score):
            result = found
    step = child.phonemic_step if traits.subject == PHONEMIC else None
    if result is not None:
        score, step = result.score - (STEP / 2 if result.slow else 0), step if result.step is None else result.step
    elif child.recent is not None:
        score, step = (USUAL + child.recent.score) / 2, step if child.recent.step is None else child.recent.step
    else:
        score = USUAL
    step = MIDDLE if step is None else step
    costs = STEP * (0 if traits.step is None else traits.step - step)
    return score - costs, average.success - STEP * (step - MIDDLE) - costs


def wanted_accuracy(child: Profile) -> float:
    """Percent that an item should be worth: one step's more or less where the child is to have it easier or harder."""
    if child.adjustment is None:
        return USUAL
    return USUAL + STEP * ((child.adjustment < known.EASIER) - (child.adjustment > known.HARDER))


def fit(gap: float) -> float:
    """How well an item fits that is expected to go `gap` percent better or worse than is wanted."""
    return max(0.0, 1 - abs(gap) / TOO_FAR)


def unfinished(child: Profile, item: Candidate) -> float:
    """Higher the nearer the last try came and the more it engaged; what was hopeless, or tried often, may rest."""
    attempt = child.by_item.get(item.id)
    if attempt is None or attempt.attempts >= GIVE_IT_REST:
        return 0.0
    near = max(0.0, (attempt.accuracy or 0) - HOPELESS) / (known.MASTERED - HOPELESS)
    return near * (1.0 if attempt.engagement is None else 0.5 + attempt.engagement / 200)


def rested(child: Profile, item: Candidate, today: date) -> float:
    """1 for what the child has not tried for a while."""
    attempt = child.by_item.get(item.id)
    if attempt is None:
        return 1.0
    return 0.5 if attempt.on is None else min(1.0, max(0, (today - attempt.on).days) / REST_DAYS)


def newness(item: Candidate, today: date) -> float:
    """1 for what came into the library today."""
    return 0.0 if item.created is None else max(0.0, 1 - max(0, (today - item.created).days) / NEW_DAYS)


def key_of_turns(today: date, seed: str) -> int:
    """What changes the lots of items for a child and a day."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{today}".encode(), digest_size=8).digest()) | 1


def turn(item: Candidate, key: int) -> float:
    """Another one for each item, child and day: a list that goes unused for days does not stay the same."""
    return lot(item, key) / HIGHEST_LOT


def lot(item: Candidate, key: int) -> int:
    """0 to `HIGHEST_LOT`: the middle bits of the product with an odd key, which are spread evenly."""
    return item.lot * key >> 32 & HIGHEST_LOT


def success(item: Candidate, average: Average) -> float:
    """How many children succeed with it, shrunk to the mean where it was used little."""
    return shrunk(average.success if item.success is None else item.success, average.success, item.used) / 100


def popularity(item: Candidate, average: Average) -> float:
    """How much it is used, shrunk alike."""
    return shrunk(item.popularity, average.popularity, item.used) / (average.most or 1)


def engagement(child: Profile, content_type: str) -> float:
    """How well the kind of content held the child's attention."""
    usual, total = child.engagement.get(known.ANY, (0.0, 0))
    if not total:
        return UNKNOWN
    mean, count = child.engagement.get(content_type, (usual, 0))
    return shrunk(mean, usual, count, FEW_ATTEMPTS) / 100


def nearness_of_week(child: Profile, week: int | None) -> float:
    """1 for the week of the curriculum that the child is in."""
    if child.week is None or week is None:
        return UNKNOWN
    return max(0.0, 1 - abs(week - child.week) / WEEKS_AWAY)


def shrunk(value: float, usual: float, count: int, few: int = FEW) -> float:
    """`value` as far as `count` makes it believed, else what is usual."""
    return (count * value + few * usual) / (count + few)
