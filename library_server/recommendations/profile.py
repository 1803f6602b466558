"""What is known of a child: from age alone to results by skill. Built from rows in whatever shape the database has."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

from library_server.recommendations import stored

MASTERED = 80.0  # percent; the contract's
NEEDED_BEFORE = 60.0  # percent of a skill that others build on
CHALLENGE = 50.0  # percent: where a skill stands that is named as a challenge, without a score
EASIER, HARDER = 0.8, 1.2  # of ai_difficulty_adjustment, 1.0 is neutral
LATEST = 5  # results of a skill that count
FADING = 0.7  # how much each older one of them counts
SLOW = 2.0  # times an item's average: success that took so long was hard
MAX_AGE = 120
ANY = ""  # of content types

_WEIGHTS = tuple(FADING**place for place in range(LATEST))
_PHONEMIC_STEPS = stored.STEPS | {"beginning": 0, "developing": 1, "proficient": 2}


class Attempt(NamedTuple):
    """The newest attempt at one item, with what is known of the item; None is unknown."""

    content_id: int
    accuracy: float | None  # percent
    attempts: int = 1
    engagement: float | None = None  # percent
    skills: tuple[str, ...] = ()
    subject: str = ""
    content_type: str = ""
    step: int | None = None
    slow: bool = False
    on: date | None = None

    @property
    def mastered(self) -> bool:
        return self.accuracy is not None and self.accuracy >= MASTERED


class Result(NamedTuple):
    """What the latest attempts say of one skill: percent, the step they were at, and whether they took long."""

    score: float
    step: int | None = None
    slow: bool = False


@dataclass(frozen=True)
class Profile:
    """A child as the scores see it. `results`: by skill or subject; `attempts`: newest first."""

    age: int | None = None
    age_range: str | None = None
    adjustment: float | None = None
    week: int | None = None
    phonemic_step: int | None = None
    results: Mapping[str, Result] = field(default_factory=dict)
    strengths: frozenset[str] = frozenset()
    challenges: frozenset[str] = frozenset()
    attempts: Sequence[Attempt] = ()
    mastered: frozenset[int] = frozenset()  # the items that are not offered again
    whole: bool = True  # `attempts` are all that there are

    @cached_property
    def by_item(self) -> dict[int, Attempt]:
        return {attempt.content_id: attempt for attempt in self.attempts}

    @cached_property
    def recent(self) -> Result | None:
        """The latest attempts at anything, as one result."""
        rated = [attempt for attempt in self.attempts if attempt.accuracy is not None]
        return _result(rated) if rated else None

    @cached_property
    def engagement(self) -> Mapping[str, tuple[float, int]]:
        """By content type, and by `ANY`: the mean engagement in percent, and of how many attempts."""
        told = defaultdict(list)
        for attempt in self.attempts:
            for kind in (attempt.content_type, ANY) if attempt.engagement is not None and attempt.content_type else ():
                told[kind].append(attempt.engagement or 0.0)
        return {kind: (sum(values) / len(values), len(values)) for kind, values in told.items()}

    @cached_property
    def needy(self) -> list[str]:
        """The skills known to need work, the neediest first."""
        weak = {name: result.score for name, result in self.results.items() if result.score < MASTERED}
        weak |= dict.fromkeys(self.challenges - self.strengths - set(self.results), CHALLENGE)
        return sorted(weak, key=lambda name: (weak[name], name))


def build(
    child: Mapping[str, Any],
    scores: Mapping[str, float],
    attempts: Sequence[Attempt],
    mastered: frozenset[int],
    ranges: Iterable[str],
    whole: bool = True,
) -> Profile:
    """The profile of a row of ``child``, scores by skill (0 to 100), the latest attempts and all that is mastered.

    `ranges` are the library's; `whole` says that there are no more attempts. What the child did counts before what a
    table of scores says.
    """
    age = stored.whole(child.get("age"), 0, MAX_AGE)
    level = child.get("current_phonemic_level")
    return Profile(
        age=age,
        age_range=None if age is None else age_range(age, ranges),
        adjustment=stored.number(child.get("ai_difficulty_adjustment"), 0, 10),
        week=stored.whole(child.get("current_week"), 1, 52),
        phonemic_step=_PHONEMIC_STEPS.get(level.strip().lower()) if isinstance(level, str) else None,
        results={name: Result(score) for name, score in scores.items()} | results_of(attempts),
        strengths=frozenset(stored.skills(child.get("skill_strengths"))),
        challenges=frozenset(stored.skills(child.get("skill_challenges"))),
        attempts=attempts,
        mastered=mastered,
        whole=whole,
    )


def age_range(age: int, ranges: Iterable[str]) -> str | None:
    """Which of ``3-5``, ``13+`` and the like an age (years) is in, else the nearest one; None where there is none."""
    best: tuple[int, str] | None = None
    for name in ranges:
        low, dash, high = name.removesuffix("+").partition("-")
        if not low.isdecimal() or not (high.isdecimal() if dash else name.endswith("+")):
            continue
        away = max(int(low) - age, age - int(high) if dash else 0, 0)
        best = min(best or (away, name), (away, name), key=lambda found: found[0])
    return best[1] if best else None


def results_of(attempts: Sequence[Attempt]) -> dict[str, Result]:
    """The results by skill of attempts, newest first."""
    latest: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.accuracy is not None:
            for name in attempt.skills or (attempt.subject,):
                latest[name].append(attempt)
    return {name: _result(found) for name, found in latest.items() if name}


def _result(rated: Sequence[Attempt]) -> Result:
    if len(rated) == 1:
        return Result(rated[0].accuracy or 0.0, rated[0].step, rated[0].slow)
    score = total = 0.0
    steps = []
    for weight, attempt in zip(_WEIGHTS, rated, strict=False):
        score += weight * (attempt.accuracy or 0)
        total += weight
        if attempt.step is not None:
            steps.append(attempt.step)
    return Result(score / total, round(sum(steps) / len(steps)) if steps else None, rated[0].slow)
