"""How well an item suits a child: named parts from 0 to 1, and their weighted mean (docs/recommendations.md)."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from library_server.recommendations import profile as known
from library_server.recommendations.profile import Profile

UNKNOWN = 0.5  # a part of which nothing is known
CHALLENGE_NEED, STRENGTH_NEED = 0.6, 0.15  # of a skill that is named as one without a score
FRESH_DAYS = 90
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


def parts(child: Profile, item: Candidate, average: Average, today: date) -> dict[str, float]:
    """Every part by its name, each from 0 to 1."""
    return {
        "skill_need": _skill_need(child, item),
        "prerequisites": min((_readiness(child, name) for name in item.prerequisites), default=1.0),
        "difficulty": UNKNOWN if item.step is None else 1 - abs(item.step - target_step(child, item)) / 2,
        "unfinished": _unfinished(child, item),
        "engagement": _engagement(child, item),
        "week": _nearness_of_week(child, item),
        "success": _shrunk(average.success if item.success is None else item.success, average.success, item.uses) / 100,
        "popularity": _shrunk(_popularity(item), average.popularity, item.uses) / (average.most or 1),
        "freshness": max(0.0, 1 - max(0, (today - item.created).days) / FRESH_DAYS) if item.created else 0.0,
    }


def need(child: Profile, skill: str) -> float:
    """How much a skill wants practice, 0 to 1."""
    result = child.results.get(skill)
    named = (skill in child.challenges) - (skill in child.strengths)
    if result is None:
        return CHALLENGE_NEED if named > 0 else STRENGTH_NEED if named < 0 else UNKNOWN
    return max(1 - result.score / 100, CHALLENGE_NEED if named > 0 else 0.0)


def target_step(child: Profile, item: Candidate) -> int:
    """The step (0 to 2) that the item should be at: the last one of its skills, moved by how that went.

    Where there is no result for its skills it starts in the middle, moved by the latest results of any kind; and
    `ai_difficulty_adjustment` moves either.
    """
    found = [child.results[name] for name in item.practises if name in child.results]
    result = min(found, key=lambda each: each.score, default=child.recent)
    base = child.phonemic_step if item.subject == "phonemic_awareness" else None
    if found and result and result.step is not None:
        base = result.step
    moved = known.MIDDLE if base is None else base
    if result and result.score < known.TOO_HARD:
        moved -= 1
    elif result and result.score >= known.MASTERED and not result.slow:
        moved += 1
    if child.adjustment is not None:
        moved += (child.adjustment > known.HARDER) - (child.adjustment < known.EASIER)
    return min(max(moved, 0), 2)


def _skill_need(child: Profile, item: Candidate) -> float:
    needs = [need(child, name) for name in item.practises]
    return (max(needs) + sum(needs) / len(needs)) / 2


def _readiness(child: Profile, skill: str) -> float:
    result = child.results.get(skill)
    if result is not None:
        return min(1.0, result.score / known.NEEDED_BEFORE)
    return 1 - need(child, skill)


def _unfinished(child: Profile, item: Candidate) -> float:
    """Higher the nearer the last try came and the more it engaged; what was tried often in vain may rest."""
    attempt = child.by_item.get(item.id)
    if attempt is None:
        return 0.0
    near = 0.5 + (attempt.accuracy or 0) / known.MASTERED / 2
    engaged = 1.0 if attempt.engagement is None else 0.5 + attempt.engagement / 200
    return near * engaged * (0.4 if attempt.attempts >= GIVE_IT_REST else 1)


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
