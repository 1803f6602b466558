"""How well an item suits a child: named parts from 0 to 1, and their weighted mean (docs/recommendations.md)."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from library_server.recommendations import profile as known
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
BELIEVED = 0.5  # how far the success of many outweighs what an item says of its difficulty
PHONEMIC = "phonemic_awareness"
FEW = 20  # uses: an item with that many is believed half, half its success is the mean of all
FEW_ATTEMPTS = 5  # the same for a child's engagement with a kind of content
WEEKS_AWAY = 6
GIVE_IT_REST = 5  # attempts without mastery


@dataclass(frozen=True)
class Candidate:
    """What is scored of an item. `success` is percent, `uses` a count; None is unknown."""

    id: int
    content_type: str
    subject: str
    skills: tuple[str, ...] = ()
    prerequisites: tuple[str, ...] = ()
    step: int | None = None
    week: int | None = None
    uses: int = 0
    success: float | None = None
    created: date | None = None

    @property
    def practises(self) -> tuple[str, ...]:
        """Its skills, or where it names none its subject."""
        return self.skills or (self.subject,)


@dataclass(frozen=True)
class Average:
    """What the candidates have in common: mean success in percent, mean and most of the logarithms of uses."""

    success: float
    popularity: float
    most: float

    @classmethod
    def of(cls, candidates: Iterable[Candidate]) -> "Average":
        """Weighted by use, so that items hardly used do not decide what is usual."""
        uses, successes, logs = 0.0, 0.0, [0.0]
        for item in candidates:
            logs.append(_popularity(item))
            if item.success is not None:
                uses += item.uses + 1
                successes += (item.uses + 1) * item.success
        return cls(successes / uses if uses else 50.0, math.fsum(logs) / len(logs), max(logs))


def score(parts: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The weighted mean of `parts`, 0 to 1."""
    return math.fsum(weights[name] * value for name, value in parts.items()) / math.fsum(weights.values())


def parts(child: Profile, item: Candidate, average: Average, today: date, seed: str) -> dict[str, float]:
    """Every part by its name, each from 0 to 1."""
    return {
        "skill_need": _skill_need(child, item),
        "prerequisites": min((_readiness(child, name) for name in item.prerequisites), default=1.0),
        "difficulty": _fit(child, item, average),
        "unfinished": _unfinished(child, item),
        "engagement": _engagement(child, item),
        "week": _nearness_of_week(child, item),
        "success": _success(item, average) / 100,
        "popularity": _shrunk(_popularity(item), average.popularity, item.uses) / (average.most or 1),
        "freshness": _freshness(child, item, today),
        "turn": _turn(item, today, seed),
    }


def need(child: Profile, skill: str) -> float:
    """How much a skill wants practice, 0 to 1."""
    result = child.results.get(skill)
    named = (skill in child.challenges) - (skill in child.strengths)
    if result is None:
        return CHALLENGE_NEED if named > 0 else STRENGTH_NEED if named < 0 else UNKNOWN_NEED
    return max(1 - result.score / 100, CHALLENGE_NEED if named > 0 else 0.0)


def expected_accuracy(child: Profile, item: Candidate, average: Average) -> float:
    """Percent that the child may reach with the item; below 0 and above 100 are harder and easier than that.

    Its results in the item's weakest skill, one step of difficulty up or down for `STEP` points, and how others do with
    the item. Where the skill is unknown it is expected to do as usual in the middle, and half as its latest results.
    """
    found = [child.results[name] for name in item.practises if name in child.results]
    result = min(found, key=lambda each: each.score, default=None)
    step = child.phonemic_step if item.subject == PHONEMIC else None
    if result is not None:
        score, step = result.score - (STEP / 2 if result.slow else 0), step if result.step is None else result.step
    elif child.recent is not None:
        score, step = (USUAL + child.recent.score) / 2, step if child.recent.step is None else child.recent.step
    else:
        score = USUAL
    step = MIDDLE if step is None else step
    harder = 0 if item.step is None else item.step - step
    usual_there = average.success - STEP * (step - MIDDLE)
    proven = BELIEVED * (0 if item.success is None else item.uses / (item.uses + FEW))
    return score - (1 - proven) * STEP * harder + proven * ((item.success or 0) - usual_there)


def wanted_accuracy(child: Profile) -> float:
    """Percent that an item should be worth: one step's more or less where the child is to have it easier or harder."""
    if child.adjustment is None:
        return USUAL
    return USUAL + STEP * ((child.adjustment < known.EASIER) - (child.adjustment > known.HARDER))


def _fit(child: Profile, item: Candidate, average: Average) -> float:
    return max(0.0, 1 - abs(expected_accuracy(child, item, average) - wanted_accuracy(child)) / TOO_FAR)


def _skill_need(child: Profile, item: Candidate) -> float:
    needs = [need(child, name) for name in item.practises]
    return (max(needs) + sum(needs) / len(needs)) / 2


def _readiness(child: Profile, skill: str) -> float:
    result = child.results.get(skill)
    if result is not None:
        return min(1.0, result.score / known.NEEDED_BEFORE)
    named = (skill in child.challenges) - (skill in child.strengths)
    return UNKNOWN - NAMED_READINESS * named


def _unfinished(child: Profile, item: Candidate) -> float:
    """Higher the nearer the last try came and the more it engaged; what was hopeless, or tried often, may rest."""
    attempt = child.by_item.get(item.id)
    if attempt is None or attempt.attempts >= GIVE_IT_REST:
        return 0.0
    near = max(0.0, (attempt.accuracy or 0) - HOPELESS) / (known.MASTERED - HOPELESS)
    return near * (1.0 if attempt.engagement is None else 0.5 + attempt.engagement / 200)


def _freshness(child: Profile, item: Candidate, today: date) -> float:
    """Half for what the child has not tried for a while, half for what is new in the library."""
    attempt, new = child.by_item.get(item.id), 0.0
    if item.created is not None:
        new = max(0.0, 1 - max(0, (today - item.created).days) / NEW_DAYS)
    rested = 1.0
    if attempt is not None:
        rested = 0.5 if attempt.on is None else min(1.0, max(0, (today - attempt.on).days) / REST_DAYS)
    return (rested + new) / 2


def _turn(item: Candidate, today: date, seed: str) -> float:
    """Another one for each item and day: a list that goes unused for days does not stay the same."""
    drawn = hashlib.blake2b(f"{seed}:{today}:{item.id}".encode(), digest_size=4).digest()
    return int.from_bytes(drawn) / 0xFFFF_FFFF


def _success(item: Candidate, average: Average) -> float:
    return _shrunk(average.success if item.success is None else item.success, average.success, item.uses)


def _engagement(child: Profile, item: Candidate) -> float:
    usual, total = child.engagement.get(known.ANY, (0.0, 0))
    if not total:
        return UNKNOWN
    mean, count = child.engagement.get(item.content_type, (usual, 0))
    return _shrunk(mean, usual, count, FEW_ATTEMPTS) / 100


def _nearness_of_week(child: Profile, item: Candidate) -> float:
    if child.week is None or item.week is None:
        return UNKNOWN
    return max(0.0, 1 - abs(item.week - child.week) / WEEKS_AWAY)


def _popularity(item: Candidate) -> float:
    """Doublings of use: a few views today move nothing."""
    return float((item.uses + 1).bit_length() - 1)


def _shrunk(value: float, usual: float, count: int, few: int = FEW) -> float:
    return (count * value + few * usual) / (count + few)
