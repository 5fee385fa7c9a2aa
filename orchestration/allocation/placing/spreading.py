"""Spreading: replicas of a model over failure domains, where that costs no more than a swap. Pure.

No host is moved for it. Of the hosts that could be given a model, those are preferred in whose
domain it has fewest replicas; of those that could lose it, those in whose domain it has most.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from orchestration.allocation.pool import Place

AWAY_S = 2.0
"""Seconds that a swap may take longer for the sake of another domain."""


class Spread:
    """How many hosts of every grant there are in each failure domain."""

    def __init__(self, pool: Sequence[Place]) -> None:
        """A fleet without domains, or with one, has nothing to spread over."""
        self._domains = dict.fromkeys(place.domain for place in pool if place.domain is not None)
        self._counts: dict[frozenset[str], Counter[str | None]] = defaultdict(Counter)
        self.matters = len(self._domains) > 1
        """Whether there is more than one domain."""
        if self.matters:
            for place in pool:
                if place.serves:
                    self._counts[frozenset(place.grant)][place.domain] += 1

    def take(self, grant: tuple[str, ...]) -> str | None:
        """The domain where `grant` is there least, with this one more from now on."""
        if not self.matters:
            return None
        counts = self._counts[frozenset(grant)]
        domain = min(self._domains, key=lambda domain: counts[domain])
        counts[domain] += 1
        return domain

    def leaving_s(self, place: Place) -> float:
        """What it costs beyond the swap that `place` of all hosts gives up its grant."""
        if not self.matters or place.domain is None:
            return 0.0
        counts = self._counts[frozenset(place.grant)]
        return AWAY_S if counts[place.domain] < max(counts.values(), default=0) else 0.0
