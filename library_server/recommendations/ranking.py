"""From scored items to a list: the best first, varied, and in the same order all day."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from library_server.recommendations import scoring
from library_server.recommendations.profile import Profile
from library_server.recommendations.scoring import Average, Candidate

# Each further item of the same subject or main skill is divided by 1 + this, 1 + twice this, …
SAME_SUBJECT = 0.25
SAME_SKILL = 0.15


@dataclass(frozen=True)
class Ranked:
    """An item of the list. `score` is 0 to 1, after variety; `parts` are what it was made of."""

    item: Candidate
    score: float
    parts: Mapping[str, float]


def rank(
    child: Profile, candidates: Sequence[Candidate], weights: Mapping[str, float], limit: int, today: date, seed: str
) -> list[Ranked]:
    """At most `limit` items, by falling score. `seed` names the child; equal items change places from day to day."""
    wanted = [item for item in candidates if item.id not in child.mastered]
    average = Average.of(wanted)
    scored = []
    for item in wanted:
        parts = scoring.parts(child, item, average, today, seed)
        scored.append(Ranked(item, scoring.score(parts, weights), parts))
    scored.sort(key=lambda each: (-each.score, each.item.id))
    return _varied(scored, limit)


def _varied(scored: Sequence[Ranked], limit: int) -> list[Ranked]:
    """Greedy: the best of each subject and skill is compared, so a list costs `limit` times their number."""
    queues: dict[tuple[str, str], list[Ranked]] = {}
    for each in reversed(scored):
        queues.setdefault((each.item.subject, each.item.practises[0]), []).append(each)
    places = {id(each): place for place, each in enumerate(scored)}
    subjects: Counter[str] = Counter()
    skills: Counter[tuple[str, str]] = Counter()
    chosen: list[Ranked] = []
    while queues and len(chosen) < limit:

        def varied(kind: tuple[str, str]) -> float:
            repeats = (1 + SAME_SUBJECT * subjects[kind[0]]) * (1 + SAME_SKILL * skills[kind])
            return queues[kind][-1].score / repeats

        kind = min(queues, key=lambda kind: (-varied(kind), places[id(queues[kind][-1])]))
        value, best = varied(kind), queues[kind].pop()
        chosen.append(Ranked(best.item, round(value, 4), best.parts))
        subjects[kind[0]] += 1
        skills[kind] += 1
        if not queues[kind]:
            del queues[kind]
    return chosen
