"""What is scored of an item, and what items have in common."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache

FEW = 20  # uses: an item with that many is believed half, half its success is the mean of all
BELIEVED = 0.5  # how far the success of many outweighs what an item says of its difficulty


@dataclass(frozen=True, eq=False)
class Traits:
    """What a child's results say something of. Items that are alike share one (`traits_of`), so it is quickly found."""

    subject: str
    practises: tuple[str, ...]  # its skills, or where it names none its subject
    prerequisites: tuple[str, ...]
    step: int | None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All that a child may have results of."""
        return (*self.practises, *self.prerequisites)

    @cached_property
    def unknown(self) -> tuple[str, int | None, bool]:
        """What is left of them for a child of whom nothing that has these names is known."""
        return self.subject, self.step, bool(self.prerequisites)


traits_of = lru_cache(maxsize=10_000)(Traits)


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
    age_range: str = ""
    usual_seconds: float | None = None
    shown: bool = True  # to everybody

    @cached_property
    def traits(self) -> Traits:
        return traits_of(self.subject, self.skills or (self.subject,), self.prerequisites, self.step)

    @property
    def practises(self) -> tuple[str, ...]:
        """Its skills, or where it names none its subject."""
        return self.traits.practises

    @cached_property
    def proven(self) -> float:
        """How far its success counts for its difficulty, 0 to `BELIEVED`: the more it was used, the more."""
        return 0.0 if self.success is None else BELIEVED * self.used / (self.used + FEW)

    @property
    def popularity(self) -> float:
        """Doublings of use: a few views today move nothing."""
        return float((self.uses + 1).bit_length() - 1)

    @cached_property
    def used(self) -> int:
        """`uses` as scores see them: what the last doubling came to, so that a few views today move nothing."""
        return (1 << int(self.popularity)) - 1

    @cached_property
    def kind(self) -> tuple[str, int | None]:
        """What else a child may like it for: its content type, and its week of the curriculum."""
        return self.content_type, self.week

    @cached_property
    def lot(self) -> int:
        """64 bits that are drawn for the item once and for all."""
        return int.from_bytes(hashlib.blake2b(str(self.id).encode(), digest_size=8).digest())


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
            logs.append(item.popularity)
            if item.success is not None:
                uses += item.used + 1
                successes += (item.used + 1) * item.success
        return cls(successes / uses if uses else 50.0, math.fsum(logs) / len(logs), max(logs))
