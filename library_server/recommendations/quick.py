"""The same scores for many items: what does not depend on the child, or only on traits, is worked out once."""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from library_server.recommendations import scoring
from library_server.recommendations.items import Average, Candidate, Traits
from library_server.recommendations.profile import Profile

MOST_KNOWN = 20_000  # of 100 bytes


class Standing:
    """What items are worth to every child, on one day. May be kept and shared by threads: it only gets to know more.

    `average` is what `items` have in common; `known` is what they are worth, by id.
    """

    def __init__(self, items: Iterable[Candidate], weights: Mapping[str, float], today: date) -> None:
        items = list(items)
        self.average, self.weights, self.today = Average.of(items), weights, today
        self.known: dict[int, float] = {}
        for item in items:
            self.note(item)

    def note(self, item: Candidate) -> float:
        """The same as `of`, which is then known."""
        worth = self.of(item)
        if len(self.known) < MOST_KNOWN:
            self.known[item.id] = worth
        return worth

    def of(self, item: Candidate) -> float:
        """The sum of the weighted parts `success` and `popularity`, and of what is new in `freshness`."""
        return (
            self.weights["success"] * scoring.success(item, self.average)
            + self.weights["popularity"] * scoring.popularity(item, self.average)
            + self.weights["freshness"] * scoring.newness(item, self.today) / 2
        )


class Scorer:
    """One child's scores of items, on one day."""

    def __init__(self, child: Profile, standing: Standing, seed: str) -> None:
        self._child, self._standing, self._weights = child, standing, standing.weights
        self._key = scoring.key_of_turns(standing.today, seed)
        self._wanted = scoring.wanted_accuracy(child)
        self._known = {*child.results, *child.strengths, *child.challenges}
        self._alike: dict[object, tuple[float, float, float, float]] = {}
        self._same: dict[tuple[str, int | None], float] = {}

    def scores(self, items: Iterable[Candidate]) -> Iterator[float]:
        """For each item what `scoring.score` makes of `scoring.parts`, but for rounding."""
        alike, same, worth, tried = self._alike, self._same, self._standing.known, self._child.by_item
        difficulty, turn = self._weights["difficulty"], self._weights["turn"] / scoring.HIGHEST_LOT
        total, key, highest = math.fsum(self._weights.values()), self._key, scoring.HIGHEST_LOT
        for item in items:
            found, fit, gap, usual = alike.get(item.traits) or self._of_traits(item.traits)
            if item.proven:
                fit = scoring.fit(gap + item.proven * ((item.success or 0) - usual))
            found += difficulty * fit + turn * (item.lot * key >> 32 & highest)  # as scoring.lot, which calls cost
            found += same[item.kind] if item.kind in same else self._of_kind(*item.kind)
            found += worth[item.id] if item.id in worth else self._standing.note(item)
            if item.id in tried:
                found += self._of_attempt(item)
            yield found / total

    def _of_traits(self, traits: Traits) -> tuple[float, float, float, float]:
        """Weighted parts; how they fit; percent expected less percent wanted; percent that others usually reach.

        Traits that have nothing to do with what is known of the child are all the same to it.
        """
        if self._known.isdisjoint(traits.names):
            found = self._alike.get(traits.unknown)
            if found is None:
                found = self._alike[traits.unknown] = self._worked_out(traits)
        else:
            found = self._worked_out(traits)
        self._alike[traits] = found
        return found

    def _worked_out(self, traits: Traits) -> tuple[float, float, float, float]:
        fixed = self._weights["skill_need"] * scoring.skill_need(self._child, traits.practises)
        fixed += self._weights["prerequisites"] * scoring.readiness(self._child, traits.prerequisites)
        expected, usual = scoring.expectation(self._child, traits, self._standing.average)
        gap = expected - self._wanted
        return fixed, scoring.fit(gap), gap, usual

    def _of_kind(self, content_type: str, week: int | None) -> float:
        """Of items that the child has not tried."""
        found = self._weights["engagement"] * scoring.engagement(self._child, content_type)
        found += self._weights["week"] * scoring.nearness_of_week(self._child, week)
        found += self._weights["freshness"] / 2
        self._same[content_type, week] = found
        return found

    def _of_attempt(self, item: Candidate) -> float:
        """What it adds that the child has tried the item."""
        tired = scoring.rested(self._child, item, self._standing.today) - 1
        return (
            self._weights["unfinished"] * scoring.unfinished(self._child, item) + self._weights["freshness"] * tired / 2
        )
