"""Why an item is recommended: one sentence for a parent, true of that item."""

from collections.abc import Mapping
from datetime import date

from library_server.recommendations import items, scoring
from library_server.recommendations.items import Candidate
from library_server.recommendations.profile import EASIER, HARDER, MASTERED, NEEDED_BEFORE, Profile

ABOUT_THE_CHILD = ("skill_need", "unfinished")
NEW_DAYS = 30
MANY_USES = 50
GOOD_SUCCESS = 80
WELL_FITTING = 0.7
ENGAGED = 60.0
STEP_NAMES = ("easy", "standard", "challenging")


def reason(
    child: Profile, item: Candidate, parts: Mapping[str, float], weights: Mapping[str, float], today: date
) -> str:
    """The sentence of the part that lifts the item most, of those that have something true to say.

    What the child has to practise or to finish goes before what is usual of the item.
    """
    sentences = {
        "unfinished": _unfinished(child, item),
        "skill_need": _skill_need(child, item),
        "week": f"Belongs to week {item.week}, the current one." if item.week and item.week == child.week else None,
        "prerequisites": _prerequisites(child, item),
        "engagement": _engagement(child, item),
        "difficulty": _difficulty(child, item, parts),
        "success": _success(item),
        "popularity": f"Often used: {item.uses} times so far." if item.uses >= MANY_USES else None,
        "freshness": "New in the library." if item.created and (today - item.created).days <= NEW_DAYS else None,
    }
    lifts = {
        name: (name in ABOUT_THE_CHILD, weights[name] * (parts[name] - scoring.UNKNOWN))
        for name, sentence in sentences.items()
        if sentence and weights[name] > 0
    }
    return str(sentences[max(lifts, key=lambda name: lifts[name])]) if lifts else "Chosen for the age."


def _unfinished(child: Profile, item: Candidate) -> str | None:
    attempt = child.by_item.get(item.id)
    if attempt is None:
        return None
    if attempt.accuracy is None:
        return "Begun, but not finished yet."
    return f"Begun before: the last try reached {int(attempt.accuracy)} %, and {int(MASTERED)} % is mastery."


def _skill_need(child: Profile, item: Candidate) -> str | None:
    name = max(item.practises, key=lambda skill: scoring.need(child, skill))
    result = child.results.get(name)
    if result is not None and result.score < MASTERED:
        return f"Practises {_words(name)}, which is still at {int(result.score)} %."
    if name in child.challenges and name not in child.strengths:
        return f"Practises {_words(name)}, which is among the skills to work on."
    if result is None and name not in child.strengths and (child.results or child.strengths or child.challenges):
        if not child.whole:
            return f"Practises {_words(name)}, for which there is no recent result."
        return f"Introduces {_words(name)}, for which there is no result yet."
    return None


def _prerequisites(child: Profile, item: Candidate) -> str | None:
    """Only where all of them are known to be there."""
    scores = [child.results[name].score for name in item.prerequisites if name in child.results]
    if not scores or len(scores) < len(item.prerequisites) or min(scores) < NEEDED_BEFORE:
        return None
    name = item.prerequisites[0]
    return f"Builds on {_words(name)}, which is at {int(child.results[name].score)} %."


def _engagement(child: Profile, item: Candidate) -> str | None:
    mean, count = child.engagement.get(item.content_type, (0.0, 0))
    if count < scoring.FEW_ATTEMPTS or mean < max(ENGAGED, *(other for other, _ in child.engagement.values())):
        return None
    return f"The kind of content that holds attention best ({_words(item.content_type)}: {int(mean)} % engagement)."


def _difficulty(child: Profile, item: Candidate, parts: Mapping[str, float]) -> str | None:
    if item.step is None or parts["difficulty"] < WELL_FITTING:
        return None
    told = f"Its difficulty ({STEP_NAMES[item.step]})"
    if child.recent or any(name in child.results for name in item.practises):
        return f"{told} fits the results so far."
    if child.adjustment is not None and not EASIER <= child.adjustment <= HARDER:
        return f"{told} fits the pace set at present."
    return f"{told} is the usual one to start with." if item.step == scoring.MIDDLE else None


def _success(item: Candidate) -> str | None:
    if item.success is None or item.success < GOOD_SUCCESS or item.uses < items.FEW:
        return None
    return f"Children succeed with it {int(item.success)} % of the time."


def _words(name: str) -> str:
    return name.replace("_", " ")
