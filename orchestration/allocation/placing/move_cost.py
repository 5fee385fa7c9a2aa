"""What it costs to give a host another grant: seconds of swap, and disturbed requests. Pure.

Both are in replica-seconds of work that is late: while a host swaps it does nothing, and a request
that is handed back is computed again elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestration.allocation.placing.swap_cost import SwapCost
from orchestration.allocation.pool import Place

REGRANT_S = 0.01
"""Of another grant without a swap: what is right already stays."""
DISTURBED_INTERACTIVE_S, DISTURBED_BATCH_S = 1.0, 0.1
"""Of a running request that goes on elsewhere."""
IMPOSSIBLE_S = 1e9
"""Of a grant that the host cannot hold. Finite: a solver gives up on infinities as a whole."""


@dataclass(frozen=True)
class MoveCost:
    """The costs of one plan."""

    swap_cost: SwapCost

    def swap_s(self, place: Place, model: str) -> float:
        """Until `place` serves `model`."""
        return self.swap_cost(place.host, model, place.tiers.get(model, "absent"))

    def disturbed_s(self, place: Place) -> float:
        """Of what runs and waits on `place`."""
        return place.interactive * DISTURBED_INTERACTIVE_S + place.batch * DISTURBED_BATCH_S

    def grants_s(self, place: Place, grants: Sequence[tuple[str, ...]]) -> list[float]:
        """Of giving `place` each of `grants`; nothing for the one that it has."""
        had, disturbed_s = frozenset(place.grant), self.disturbed_s(place)
        wakes_s = {model: self.swap_s(place, model) for model in {m for g in grants for m in g}}
        found = []
        for grant in grants:
            if place.model in grant:
                found.append(0.0 if had == frozenset(grant) else REGRANT_S)
            elif place.excluded and not place.excluded.keys().isdisjoint(grant):
                found.append(IMPOSSIBLE_S)
            else:
                found.append(min(map(wakes_s.__getitem__, grant)) + disturbed_s)
        return found
