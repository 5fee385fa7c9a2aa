"""Which generations compute on which host, and who did when an engine died.

Plain state of this gateway. A death is heard of by each stream for itself, one after the other; all
of them are told of the same company. What follows from it is `serving.gateway.lines.suspicion`.
"""

from collections import defaultdict
from dataclasses import dataclass


@dataclass
class _Death:
    company: int
    """How many others computed there, for each of them."""
    unheard: set[str]
    """Whose streams have yet to say that they broke."""


class Company:
    """The generations with a slot, by host and by their ids."""

    def __init__(self) -> None:
        self._computing: defaultdict[str, set[str]] = defaultdict(set)
        self._deaths: dict[str, _Death] = {}

    def computes(self, host: str, generation: str) -> None:
        """It has a slot there."""
        self._computing[host].add(generation)
        self._survived(host, generation)

    def rests(self, host: str, generation: str) -> None:
        """It has none any more."""
        self._computing[host].discard(generation)
        self._survived(host, generation)

    def got_token(self, host: str, generation: str) -> None:
        """A stream that goes on has not met the last death there."""
        self._survived(host, generation)

    def died(self, host: str, generation: str) -> int | None:
        """Its stream broke: how many others computed there then; None: it did not."""
        computing = self._computing[host]
        if generation not in computing:
            return None
        death = self._deaths.get(host)
        if death is None or generation not in death.unheard:
            death = self._deaths[host] = _Death(len(computing) - 1, set(computing))
        self.rests(host, generation)
        return death.company

    def _survived(self, host: str, generation: str) -> None:
        death = self._deaths.get(host)
        if death is not None:
            death.unheard.discard(generation)
            if not death.unheard:
                del self._deaths[host]
