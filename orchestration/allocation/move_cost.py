"""What it costs to give a host another grant: seconds of swap, and disturbed requests. Pure.

Both are in replica-seconds of work that is late: while a host swaps it does nothing, and a request
that is handed back is computed again elsewhere.
"""

from dataclasses import dataclass

from orchestration.allocation.pool import Place
from orchestration.allocation.swap_cost import SwapCost

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

    def grant_s(self, place: Place, grant: tuple[str, ...]) -> float:
        """Of giving `place` a grant that it does not have."""
        if place.model in grant:
            return REGRANT_S
        if any(model in place.excluded for model in grant):
            return IMPOSSIBLE_S
        return min(self.swap_s(place, model) for model in grant) + self.disturbed_s(place)
