"""Which idle model gives way when memory is short: the one whose memory is worth least.

Greedy-dual-size (Cao and Irani, "Cost-Aware WWW Proxy Caching Algorithms", USITS 1997): what is
kept is worth its cost to bring back per byte, on top of a floor that rises to the worth of whatever
gave way last. So what was awake long ago sinks below what was awake just now, the sooner the
cheaper it is to bring back. Here a step down costs the further seconds to bring the model back and
is paid for in the bytes that it frees. Standbys are above all worth.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serving.engine.decisions.effects import Move

_GIB = 1024**3
_ALIKE = 1.5
"""Worths that differ by less are alike: times and sizes are measured, and measuring is noisy."""


@dataclass(frozen=True)
class StepDown:
    """A move to a lower tier that could be made now."""

    move: Move
    frees_bytes: int
    costs_s: float
    """The further time that the model will then take to be awake."""


class GivingWay:
    """The order in which models give way."""

    def __init__(self, standbys: Sequence[str] = ()) -> None:
        self.standbys: tuple[str, ...] = tuple(standbys)
        """Kept above all others, the first one longest."""
        self._floor = 0.0
        self._credit: dict[str, float] = {}

    def awake(self, model: str) -> None:
        """`model` has been awake: it stands on the floor of now."""
        self._credit[model] = self._floor

    def protection(self, model: str) -> int:
        """Nothing for most models; a standby's is the higher, the earlier it stands."""
        if model not in self.standbys:
            return 0
        return len(self.standbys) - self.standbys.index(model)

    def first(self, steps: Iterable[StepDown]) -> StepDown | None:
        """The step to take first; of those about alike, the first one given."""
        useful = [step for step in steps if step.frees_bytes > 0]
        least = min((self.protection(step.move.model) for step in useful), default=0)
        useful = [step for step in useful if self.protection(step.move.model) == least]
        bound = _ALIKE * min(map(self._worth, useful), default=0.0)
        return next((step for step in useful if self._worth(step) <= bound), None)

    def gave_way(self, step: StepDown) -> None:
        """The step is taken: the floor rises."""
        self._floor = max(self._floor, self._worth(step))

    def _worth(self, step: StepDown) -> float:
        per_gib = step.costs_s / (step.frees_bytes / _GIB)
        return self._credit.get(step.move.model, 0.0) + per_gib
