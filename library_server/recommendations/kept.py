"""What a process keeps of the library for recommendations, which knows of no child.

It counts under the generation of `web.caching`, which ends with every change of the library, whoever makes it.
"""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from flask import current_app

from library_server.config import current_config
from library_server.recommendations import candidates
from library_server.recommendations.items import Candidate
from library_server.recommendations.pools import Pool
from library_server.web import caching, replica

MOST_ITEMS = 20_000  # of 0.8 KB: 16 MB
KEPT_SECONDS = 600  # counts of use end no generation
AWAY_SECONDS = 2  # the same while Redis is away, and nobody can tell of a change
_KEPT = "library_recommendations"
_building = threading.Lock()


class Library:
    """Items by id, and the pool of each choice of age ranges, on one day."""

    def __init__(self, weights: Mapping[str, float], today: date) -> None:
        self._weights, self.today = weights, today
        self._items: dict[int, Candidate | None] = {}
        self._pools: dict[tuple[str, ...], Pool] = {}

    def items(self, ids: Iterable[int]) -> dict[int, Candidate | None]:
        """The items with these ids, None where there is none; one statement where some are not known yet."""
        found, unknown, known = {}, [], self._items
        for each in ids:
            if each in known:
                found[each] = known[each]
            else:
                unknown.append(each)
        if unknown:
            read = {**dict.fromkeys(unknown), **candidates.find_by_id(unknown)}
            if len(known) > MOST_ITEMS:
                known = self._items = {}
            known.update(read)
            found |= read
        return found

    def pool(self, ages: Sequence[str]) -> Pool:
        """The pool of these age ranges."""
        key = tuple(ages)
        if key not in self._pools:
            with _building:  # one does the work, the others of this process have it
                if key not in self._pools:
                    self._pools[key] = Pool(ages, self._weights, self.today)
        return self._pools[key]


def library(weights: Mapping[str, float], today: date) -> Library:
    """What is kept, new after every change of the library and every day.

    Nothing is kept where nobody looks for what others write (CACHE_POLL_SECONDS=0).
    """
    if not current_config().cache_poll_seconds:
        return Library(weights, today)
    kept: dict[bool, tuple[object, float, Library]] = current_app.extensions.setdefault(_KEPT, {})
    generation, lagged = caching.generation(), replica.lagged()
    state, now = (generation, today), time.monotonic()
    if lagged not in kept or kept[lagged][0] != state or kept[lagged][1] < now:
        seconds = AWAY_SECONDS if generation is None else replica.KEPT_SECONDS if lagged else KEPT_SECONDS
        kept[lagged] = state, now + seconds, Library(weights, today)
    return kept[lagged][2]
