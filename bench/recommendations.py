"""Are recommendations worth having? Simulated learners practise from the real scoring code's lists and from plain ones.

    .venv/bin/python bench/recommendations.py             # the table of docs/recommendations.md
    .venv/bin/python bench/recommendations.py --ablation  # each part left out once

Needs no database. The same seed gives the same table; weights were looked at with the seeds 1 and 2 only.

A learner has a hidden ability (logits) in each of 16 skills of four subjects; later skills of a subject are weaker.
An item has a hidden difficulty around its true step; its label names the neighbouring step in one of five cases, and
some labels, objectives and prerequisites are missing. A try is ten questions, each right with the Rasch model's
probability p and a tenth of guessing. What a try teaches is not the scorer's business: one of three laws of learning,

    effort    4 p (1 - p)              what is neither sure nor hopeless teaches most (Rasch information)
    stretch   a bell around p = 0.85   the rate that Wilson et al. (2019) derive for gradient learners
    success   p                        only what is got right teaches: the law that favours easy items

times the learner's rate, times what it likes of the item's kind, less where the skill before is missing and at each
repeat (by the root of their number); and skills that are not practised fade. A list has ten items, of which the
learner tries three at random.
"""

import argparse
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from library_server.config import DEFAULT_WEIGHTS
from library_server.recommendations import profile, ranking
from library_server.recommendations.items import Candidate
from library_server.recommendations.profile import Attempt, Profile

START = date(2026, 1, 5)
DAYS, LIST, TRIES, QUESTIONS = 30, 10, 3, 10
SUBJECTS = ("phonemic_awareness", "math", "science", "geography")
SKILLS = [f"{subject}_{step}" for subject in SUBJECTS for step in range(4)]
KINDS = ("activity", "nursery_rhyme", "assessment", "lesson", "story", "game")
ITEMS = 480
RIGHT_LEVEL = (0.5, 0.9)  # of p: neither guessing nor known already
LAWS: dict[str, Callable[[float], float]] = {
    "effort": lambda p: 4 * p * (1 - p),
    "stretch": lambda p: math.exp(-(((p - 0.85) / 0.15) ** 2) / 2),
    "success": lambda p: p,
}
Order = Callable[[Profile, Sequence["Item"], date, "Learner"], Sequence["Item"]]


@dataclass(frozen=True)
class Item:
    """What the catalogue tells (`told`, `priority`) and what it does not: the true skills and difficulty (logits)."""

    told: Candidate
    priority: int
    skills: tuple[str, ...]
    difficulty: float


@dataclass
class Learner:
    """One child; all but `attempts` and `adjustment` is hidden from whoever makes the list."""

    name: str
    ability: dict[str, float]
    rate: float
    likes: dict[str, float]
    adjustment: float
    luck: random.Random
    attempts: dict[int, Attempt] = field(default_factory=dict)

    def chance(self, item: Item) -> float:
        ability = statistics.fmean(self.ability[skill] for skill in item.skills)
        return 0.1 + 0.9 / (1 + math.exp(item.difficulty - ability))

    def gain(self, item: Item, law: str) -> float:
        before = _before(item.skills[0])
        ready = 1 / (1 + math.exp(-2 * (self.ability[before] + 0.5))) if before else 1.0
        done = self.attempts.get(item.told.id)
        repeats = done.attempts if done else 0
        return (
            self.rate
            * LAWS[law](self.chance(item))
            * ready
            * self.likes[item.told.content_type]
            / math.sqrt(1 + repeats)
        )

    def practise(self, item: Item, law: str, today: date) -> None:
        right = sum(self.luck.random() < self.chance(item) for _ in range(QUESTIONS))
        learned = self.gain(item, law)
        for place, skill in enumerate(item.skills):
            self.ability[skill] += learned / (1 + place)
        done = self.attempts.pop(item.told.id, None)
        self.attempts[item.told.id] = Attempt(
            content_id=item.told.id,
            accuracy=100 * right / QUESTIONS,
            attempts=1 + (done.attempts if done else 0),
            engagement=min(100, max(0, 60 * self.likes[item.told.content_type] + self.luck.gauss(0, 15))),
            skills=item.told.skills,
            subject=item.told.subject,
            content_type=item.told.content_type,
            step=item.told.step,
            on=today,
        )

    def seen(self, scores_only: bool) -> Profile:
        """What a database tells of the learner: attempts as in the guide's, or scores by skill as in the backend's."""
        if scores_only:
            noisy = {
                skill: min(100.0, max(0.0, 100 / (1 + math.exp(-ability)) + self.luck.gauss(0, 8)))
                for skill, ability in self.ability.items()
            }
            return profile.build({"age": 7}, noisy, [], frozenset(), ["6-8"])
        attempts = list(reversed(self.attempts.values()))
        mastered = frozenset(attempt.content_id for attempt in attempts if attempt.mastered)
        child = {"age": 7, "ai_difficulty_adjustment": self.adjustment}
        return profile.build(child, {}, attempts[:500], mastered, ["6-8"])


def _before(skill: str) -> str | None:
    subject, _, step = skill.rpartition("_")
    return f"{subject}_{int(step) - 1}" if step != "0" else None


def make_items(luck: random.Random) -> list[Item]:
    items = []
    for number in range(1, ITEMS + 1):
        main = luck.choice(SKILLS)
        subject = main.rpartition("_")[0]
        second = luck.choice([skill for skill in SKILLS if skill.startswith(subject) and skill != main])
        skills = (main, second) if luck.random() < 0.3 else (main,)
        step = luck.randrange(3)
        difficulty = (step - 1) * 1.2 + luck.gauss(0, 0.5)
        label = min(2, max(0, step + luck.choice((-1, 1)))) if luck.random() < 0.2 else step
        uses = int(luck.lognormvariate(3, 1.5))
        class_ = [0.1 + 0.9 / (1 + math.exp(difficulty - luck.gauss(-0.3, 1))) for _ in range(min(uses, 300))]
        before = _before(main)
        told = Candidate(
            id=number,
            content_type=luck.choice(KINDS),
            subject=subject,
            skills=skills if luck.random() < 0.85 else (),
            prerequisites=(before,) if before and luck.random() < 0.7 else (),
            step=label if luck.random() < 0.9 else None,
            uses=uses,
            success=100 * statistics.fmean(class_) if class_ else None,
            created=START - timedelta(days=luck.randrange(730)),
        )
        items.append(Item(told, luck.randint(1, 10), skills, difficulty))
    return items


def make_learner(number: int, seed: int) -> Learner:
    luck = random.Random(f"{seed} {number}")
    general = luck.gauss(0, 0.7)
    ability = {skill: general + luck.gauss(0, 0.7) - 0.4 * int(skill[-1]) for skill in SKILLS}
    likes = {kind: luck.uniform(0.7, 1.3) for kind in KINDS}
    adjustment = min(2.0, max(0.3, 1 + 0.25 * general + luck.gauss(0, 0.15)))
    return Learner(f"{number}", ability, 0.12 * luck.lognormvariate(0, 0.3), likes, adjustment, luck)


def recommended(weights: Mapping[str, float]) -> Order:
    def order(child: Profile, items: Sequence[Item], today: date, learner: Learner) -> Sequence[Item]:
        by_id = {item.told.id: item for item in items}
        told = [item.told for item in items]
        return [by_id[each.item.id] for each in ranking.rank(child, told, weights, LIST, today, learner.name)]

    return order


def sorted_by(key: Callable[[Item], object]) -> Order:
    def order(child: Profile, items: Sequence[Item], today: date, learner: Learner) -> Sequence[Item]:
        left = [item for item in items if item.told.id not in child.mastered]
        return sorted(left, key=key)[:LIST]  # type: ignore[arg-type]

    return order


def at_random(child: Profile, items: Sequence[Item], today: date, learner: Learner) -> Sequence[Item]:
    left = [item for item in items if item.told.id not in child.mastered]
    return random.Random(f"{learner.name} {today}").sample(left, LIST)


def all_knowing(law: str) -> Order:
    def order(child: Profile, items: Sequence[Item], today: date, learner: Learner) -> Sequence[Item]:
        left = [item for item in items if item.told.id not in child.mastered]
        return sorted(left, key=lambda item: -learner.gain(item, law))[:LIST]

    return order


PLAIN: dict[str, Order] = {
    "newest first": sorted_by(lambda item: (START - (item.told.created or START), item.told.id)),
    "`download_priority`": sorted_by(lambda item: (item.priority, item.told.id)),
    "success rate": sorted_by(lambda item: (-(item.told.success or 0), item.told.id)),
    "at random": at_random,
}


def simulate(order: Order, items: Sequence[Item], law: str, learners: int, seed: int, scores_only: bool = False) -> str:
    """A row of the table: learning in points of the exam with its standard error, right level, subjects in a list."""
    gains, right, subjects = [], [], []
    for number in range(learners):
        learner = make_learner(number, seed)
        before = exam(learner, items)
        start = dict(learner.ability)
        for day in range(DAYS):
            child = learner.seen(scores_only)
            found = order(child, items, START + timedelta(days=day), learner)
            right += [RIGHT_LEVEL[0] <= learner.chance(item) <= RIGHT_LEVEL[1] for item in found]
            subjects.append(len({item.told.subject for item in found}))
            for item in learner.luck.sample(list(found), min(TRIES, len(found))):
                learner.practise(item, law, START + timedelta(days=day))
            for skill, ability in learner.ability.items():
                learner.ability[skill] -= 0.01 * (ability - start[skill])
        gains.append(exam(learner, items) - before)
    error = statistics.stdev(gains) / math.sqrt(learners)
    return (
        f"{statistics.fmean(gains):5.1f} ± {error:.1f} | {100 * statistics.fmean(right):3.0f} % | "
        f"{statistics.fmean(subjects):.1f}"
    )


def exam(learner: Learner, items: Sequence[Item]) -> float:
    """What the learner would get right of the whole library, in percent."""
    return 100 * statistics.fmean(learner.chance(item) for item in items)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--learners", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20_260_105)
    parser.add_argument("--ablation", action="store_true")
    asked = parser.parse_args()
    items = make_items(random.Random(asked.seed))
    if asked.ablation:
        print("| left out | learning | at the right level | subjects |\n| --- | --- | --- | --- |")
        for name in ("nothing", *DEFAULT_WEIGHTS):
            weights = {part: 0.0 if part == name else weight for part, weight in DEFAULT_WEIGHTS.items()}
            row = simulate(recommended(weights), items, "effort", asked.learners, asked.seed)
            print(f"| {name} | {row} |", flush=True)
        return
    print("| law | what is known | order | learning | at the right level | subjects |")
    print("| --- | --- | --- | --- | --- | --- |")
    for law, scores_only in [*((law, False) for law in LAWS), ("effort", True)]:
        orders = {"recommendations": recommended(DEFAULT_WEIGHTS), **PLAIN, "all-knowing": all_knowing(law)}
        for name, order in orders.items():
            row = simulate(order, items, law, asked.learners, asked.seed, scores_only)
            print(f"| {law} | {'scores' if scores_only else 'attempts'} | {name} | {row} |", flush=True)


if __name__ == "__main__":
    main()
