"""What is scored for a child: the usual candidates of some age ranges, and how the child's own differ from them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import chain

from library_server.recommendations import candidates
from library_server.recommendations.candidates import SKILLS, STEPS, Place, Skill
from library_server.recommendations.items import Candidate
from library_server.recommendations.profile import Profile
from library_server.recommendations.quick import Standing

ITEMS = 800  # to score, about
LEAST_OF_EACH = 2
NEEDY_SKILLS = 8
NEEDY_TIMES = 3  # as many of a skill that wants work
RARE_SKILLS = 50  # of a library with more than `SKILLS`, kept besides


class Pool:
    """The candidates of some age ranges: of each skill and step the first, three times as many as are usually scored.

    At most 4,800 items of about 0.8 KB (4 MB), and as many again of rare skills.
    """

    def __init__(self, ages: Sequence[str], weights: Mapping[str, float], today: date) -> None:
        skills = candidates.find_skills(ages)
        self.share = max(LEAST_OF_EACH, ITEMS // max(1, len(skills) * len(STEPS)))
        self._groups = candidates.find_some(skills, NEEDY_TIMES * self.share) if skills else {}
        self._place = {item.id: place for place, items in self._groups.items() for item in items}
        usual = chain(*(items[: self.share] for items in self._groups.values()), candidates.find_newest(ages))
        self._usual = {item.id: item for item in usual}
        self.standing = Standing(self._usual.values(), weights, today)
        self._skills = frozenset(skills)
        self._subjects = {(skill.age_range, skill.subject) for skill in skills}
        self._rare: dict[str, dict[Place, list[Candidate]]] = {}

    def candidates_for(self, child: Profile, begun: Iterable[Candidate]) -> list[Candidate]:
        """The items to score, none of them mastered: more of the skills that need work, and those in `begun`.

        One statement where a skill is new to us, and one where the child has mastered nearly all that we have of it.
        """
        needy = frozenset(child.needy[:NEEDY_SKILLS])
        groups = self._groups | self._of_rare(needy)
        found, short = self._usual.copy(), set()
        others = {place for place in groups if place.at.skill in needy}
        others |= {self._place[number] for number in child.mastered if number in self._place}
        for place in others:
            left = [item for item in groups[place] if item.id not in child.mastered]
            if len(left) < self.share and len(groups[place]) == NEEDY_TIMES * self.share:
                short.add(place.at)
            found.update((item.id, item) for item in (left if place.at.skill in needy else left[: self.share]))
        if short:
            further = candidates.find_some(short, self.share, child.mastered)
            found = {item.id: item for item in chain(*further.values())} | found
        found = {item.id: item for item in begun} | found
        for number in child.mastered & found.keys():
            del found[number]
        return list(found.values())

    def _of_rare(self, needy: frozenset[str]) -> dict[Place, list[Candidate]]:
        """What there is of skills that are beyond the `SKILLS` that we know."""
        if len(self._skills) < SKILLS:
            return {}
        known = self._rare
        unknown = needy - known.keys()
        wanted = {Skill(*where, name) for where in self._subjects for name in unknown} - self._skills
        if wanted:
            found = candidates.find_some(wanted, NEEDY_TIMES * self.share)
            fresh = {
                name: {place: items for place, items in found.items() if place.at.skill == name} for name in unknown
            }
            known = fresh | (known if len(known) < RARE_SKILLS else {})
            self._rare = known
        return {place: items for name in needy for place, items in known.get(name, {}).items()}
