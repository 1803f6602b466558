"""The same scores for many items: what does not depend on the child, or only on traits, is worked out once."""

import math
from collections.abc import Iterable, Mapping
from datetime import date

from library_server.recommendations import scoring
from library_server.recommendations.items import Average, Candidate, Traits
from library_server.recommendations.profile import Profile


class Standing:
    """What items are worth to every child, on one day. May be kept and shared by threads: it does not change.

    `average` is what `items` have in common; of these the worth is at hand.
    """

    def __init__(self, items: Iterable[Candidate], weights: Mapping[str, float], today: date) -> None:
        items = list(items)
        self.average, self.weights, self.today = Average.of(items), weights, today
        self._known = {item.id: self._weighed(item) for item in items}

    def of(self, item: Candidate) -> float:
        """The sum of the weighted parts `success` and `popularity`, and of what is new in `freshness`."""
        known = self._known.get(item.id)
        return self._weighed(item) if known is None else known

    def _weighed(self, item: Candidate) -> float:
        return (
            self.weights["success"] * scoring.success(item, self.average)
            + self.weights["popularity"] * scoring.popularity(item, self.average)
            + self.weights["freshness"] * scoring.newness(item, self.today) / 2
        )


class Scorer:
    """One child's scores of items, on one day."""

    def __init__(self, child: Profile, standing: Standing, seed: str) -> None:
        self._child, self._standing, self._weights = child, standing, standing.weights
        self._total = math.fsum(standing.weights.values())
        self._key = scoring.key_of_turns(standing.today, seed)
        self._wanted = scoring.wanted_accuracy(child)
        self._alike: dict[Traits, tuple[float, float, float]] = {}
        self._same: dict[tuple[str, int | None], float] = {}

    def score(self, item: Candidate) -> float:
        """What `scoring.score` makes of `scoring.parts`, but for rounding."""
        fixed, gap, usual = self._alike.get(item.traits) or self._of_traits(item.traits)
        same = self._same.get((item.content_type, item.week))
        if same is None:
            same = self._of_kind_and_week(item)
        if item.proven:
            gap += item.proven * ((item.success or 0) - usual)
        total = (
            fixed
            + same
            + self._standing.of(item)
            + self._weights["difficulty"] * scoring.fit(gap)
            + self._weights["turn"] * scoring.turn(item, self._key)
        )
        if item.id in self._child.by_item:
            total += self._of_attempt(item)
        return total / self._total

    def _of_traits(self, traits: Traits) -> tuple[float, float, float]:
        """Weighted parts; percent expected less percent wanted; percent that others usually reach."""
        fixed = self._weights["skill_need"] * scoring.skill_need(self._child, traits.practises)
        fixed += self._weights["prerequisites"] * scoring.readiness(self._child, traits.prerequisites)
        expected, usual = scoring.expectation(self._child, traits, self._standing.average)
        found = self._alike[traits] = fixed, expected - self._wanted, usual
        return found

    def _of_kind_and_week(self, item: Candidate) -> float:
        """Of an item that the child has not tried."""
        found = self._weights["engagement"] * scoring.engagement(self._child, item.content_type)
        found += self._weights["week"] * scoring.nearness_of_week(self._child, item.week)
        found += self._weights["freshness"] / 2
        self._same[item.content_type, item.week] = found
        return found

    def _of_attempt(self, item: Candidate) -> float:
        tired = scoring.rested(self._child, item, self._standing.today) - 1
        return (
            self._weights["unfinished"] * scoring.unfinished(self._child, item)
            + self._weights["freshness"] * tired / 2
        )
