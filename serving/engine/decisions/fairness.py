"""Fair shares of a host between accounts of one class: who gets the next slot.

Start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queueing", SIGCOMM 1996) over tokens
of service, charged as they are computed because the length of a generation is not known before,
as in the virtual token counter of Sheng et al. ("Fairness in Serving Large Language Models", OSDI
2024). The slot goes to the account that has had the least service for its weight. An account that
comes back after a pause starts from the present, not from what it did not use.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from serving.engine.decisions.generation import Generation

UNHURRIED_S = 300.0
"""A generation without a deadline, or with a later one, takes its turn as if it was due so long
after it arrived: what is due sooner goes before it, and nobody waits for ever."""

_KEPT_ACCOUNTS = 1024
"""Beyond so many, accounts that are not ahead of virtual time are forgotten: it loses nothing."""


class FairShares:
    """The service each account of one class has had, in virtual time."""

    def __init__(self) -> None:
        self._virtual_now = 0.0
        """Start of the generation admitted last."""
        self._served: dict[str, float] = {}

    def turns(self, waiting: Iterable[Generation]) -> Iterator[Generation]:
        """Whose turn it is, again and again; each is to be `admitted` before the next is drawn.

        Within an account: what was resumed, then what is due first, then in order of arrival.
        """
        queues: dict[str, deque[Generation]] = {}
        for generation in sorted(waiting, key=_turn):
            queues.setdefault(generation.account, deque()).append(generation)
        while queues:
            # Of equals, the account whose next generation has waited longest.
            account = min(queues, key=lambda a: (self._start(a), queues[a][0].arrived_at))
            yield queues[account].popleft()
            if not queues[account]:
                del queues[account]

    def admitted(self, generation: Generation) -> None:
        """It has a slot: its prompt is service, unless it had its prompt computed before."""
        self._virtual_now = max(self._virtual_now, self._start(generation.account))
        self.served(generation, 0 if generation.resumed else generation.tokens)
        if len(self._served) > _KEPT_ACCOUNTS:
            ahead = {a: at for a, at in self._served.items() if at > self._virtual_now}
            self._served = ahead

    def served(self, generation: Generation, tokens: int) -> None:
        """Charge its account for `tokens`."""
        account = generation.account
        self._served[account] = self._start(account) + tokens / generation.weight

    def _start(self, account: str) -> float:
        return max(self._virtual_now, self._served.get(account, 0.0))


def _turn(generation: Generation) -> tuple[bool, float, float]:
    """By what generations of an account are put in order."""
    due_at = generation.arrived_at + UNHURRIED_S
    if generation.deadline_at is not None:
        due_at = min(due_at, generation.deadline_at)
    return not generation.resumed, due_at, generation.arrived_at
