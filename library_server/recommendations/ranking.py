"""From scored items to a list: the best first, varied, and in the same order all day."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from heapq import heapify, heappop, heapreplace

from library_server.recommendations import scoring
from library_server.recommendations.items import Candidate
from library_server.recommendations.profile import Profile
from library_server.recommendations.quick import Scorer, Standing

# Each further item of the same subject or main skill is divided by 1 + this, 1 + twice this, …
SAME_SUBJECT = 0.25
SAME_SKILL = 0.15

# Its score for variety of skills and its score, both negative so that the best is the least, its id and itself.
_Waiting = tuple[float, float, int, Candidate]


@dataclass(frozen=True)
class Ranked:
    """An item of the list. `score` is 0 to 1, after variety; `parts` are what it was made of."""

    item: Candidate
    score: float
    parts: Mapping[str, float]


def rank(
    child: Profile, candidates: Iterable[Candidate], weights: Mapping[str, float], limit: int, today: date, seed: str
) -> list[Ranked]:
    """At most `limit` items, by falling score. `seed` names the child; equal items change places from day to day."""
    wanted = [item for item in candidates if item.id not in child.mastered]
    return best(child, wanted, Standing(wanted, weights, today), limit, seed)


def best(child: Profile, candidates: Iterable[Candidate], standing: Standing, limit: int, seed: str) -> list[Ranked]:
    """The same of items none of which is mastered, by what they are worth to every child."""
    candidates = list(candidates)
    varied = _varied(zip(Scorer(child, standing, seed).scores(candidates), candidates, strict=True), limit)
    return [
        Ranked(item, round(score, 4), scoring.parts(child, item, standing.average, standing.today, seed))
        for score, item in varied
    ]


def _varied(scored: Iterable[tuple[float, Candidate]], limit: int) -> list[tuple[float, Candidate]]:
    """Greedy: the best of each subject are compared, and only what comes to the top is divided anew."""
    heaps: dict[str, list[_Waiting]] = {}
    for score, item in scored:
        heaps.setdefault(item.subject, []).append((-score, -score, item.id, item))
    for heap in heaps.values():
        heapify(heap)
    subjects: Counter[str] = Counter()
    skills: Counter[tuple[str, str]] = Counter()
    chosen: list[tuple[float, Candidate]] = []

    def value(subject: str) -> tuple[float, float, int]:
        least, score, number, _ = heaps[subject][0]
        return least / (1 + SAME_SUBJECT * subjects[subject]), score, number

    while heaps and len(chosen) < limit:
        subject = min(heaps, key=value)
        chosen.append((-value(subject)[0], heaps[subject][0][3]))
        subjects[subject] += 1
        skills[subject, heaps[subject][0][3].practises[0]] += 1
        heappop(heaps[subject])
        _settle(heaps[subject], skills)
        if not heaps[subject]:
            del heaps[subject]
    return chosen


def _settle(heap: list[_Waiting], skills: Mapping[tuple[str, str], int]) -> None:
    """Brings to the top what is the best now: what waits further down has only become worse since it was put there."""
    while heap:
        least, score, number, item = heap[0]
        now = score / (1 + SAME_SKILL * skills[item.subject, item.practises[0]])
        if now == least:
            return
        heapreplace(heap, (now, score, number, item))
