"""Admission: which generations have a slot of the awake engine, and which must give theirs back.

Interactive first. While an interactive generation is running or waiting, the running batch is
held to the interactive cap and surplus evictable batch work is evicted, cheapest to resume first
and never more than needed. Otherwise batch fills every slot. Pure: `step` says what to do.
"""

from dataclasses import dataclass

from serving.engine.decisions.events import Admit, Effect, Evicted, Halt, Terminal
from serving.wire import ClassCounts, HandedBack, RequestClass


@dataclass
class Generation:
    """One generation on this host, from its arrival to its last frame."""

    key: str
    request_class: RequestClass
    evictable: bool
    tokens: int
    """Prompt and output so far: what a resume elsewhere must compute again."""
    arrived_at: float
    admitted_at: float | None = None
    ending: Terminal | None = None
    """Set once it is being halted: the frame that will end its stream."""
    unwanted: bool = False
    """Its client is gone."""

    @property
    def halting(self) -> bool:
        """It still holds its slot, but is on its way out."""
        return self.ending is not None or self.unwanted


class Admission:
    """The waiting queues and the running batch of the awake engine."""

    def __init__(self) -> None:
        self.slots = 0
        self.interactive_cap = 0
        self.waiting: dict[str, Generation] = {}
        self.running: dict[str, Generation] = {}

    def set_limits(self, *, slots: int, interactive_cap: int) -> None:
        """Take over the limits of the model that is awake now; no slots when none is."""
        self.slots, self.interactive_cap = slots, interactive_cap

    def counts(self) -> tuple[ClassCounts, ClassCounts]:
        """Running and waiting generations by class."""
        return _count(self.running), _count(self.waiting)

    def interactive_present(self) -> bool:
        """Whether any interactive generation runs or waits."""
        return any(
            generation.request_class == "interactive" and not generation.halting
            for queue in (self.running, self.waiting)
            for generation in queue.values()
        )

    def step(self, now: float) -> list[Effect]:
        """Admissions and evictions that are due now; applied to this object."""
        return [*self._evict_surplus(), *self._admit(now)]

    def _limit(self) -> int:
        return self.interactive_cap if self.interactive_present() else self.slots

    def _live(self, request_class: RequestClass) -> list[Generation]:
        return [
            generation
            for generation in self.running.values()
            if generation.request_class == request_class and not generation.halting
        ]

    def surplus(self) -> int:
        """How many evictable batch generations run beyond what the limit leaves to batch."""
        limit, batch = self._limit(), self._live("batch")
        waiting = sum(g.request_class == "interactive" for g in self.waiting.values())
        interactive = min(limit, len(self._live("interactive")) + waiting)
        fixed = sum(not generation.evictable for generation in batch)
        room = max(0, limit - interactive - fixed)
        return max(0, len(batch) - fixed - room)

    def _evict_surplus(self) -> list[Effect]:
        evictable = [generation for generation in self._live("batch") if generation.evictable]
        cheapest_first = sorted(evictable, key=lambda g: (g.tokens, -(g.admitted_at or 0.0)))
        effects: list[Effect] = []
        for generation in cheapest_first[: self.surplus()]:
            generation.ending = HandedBack("evicted")
            effects += [Evicted(generation.key, "evicted"), Halt(generation.key)]
        return effects

    def _admit(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        limit = self._limit()
        for request_class in ("interactive", "batch"):
            for generation in [
                g for g in self.waiting.values() if g.request_class == request_class
            ]:
                if not self._has_room(generation, limit):
                    break
                del self.waiting[generation.key]
                generation.admitted_at = now
                self.running[generation.key] = generation
                effects.append(Admit(generation.key, now - generation.arrived_at))
        return effects

    def _has_room(self, generation: Generation, limit: int) -> bool:
        if len(self.running) >= self.slots:
            return False
        if generation.request_class == "batch":
            return len(self.running) < limit
        # Batch work that cannot be evicted may run for minutes: it does not count against
        # interactive work's places, which would starve behind it.
        fixed = sum(not g.evictable for g in self._live("batch"))
        return len(self.running) - fixed < limit


def _count(queue: dict[str, Generation]) -> ClassCounts:
    interactive = sum(g.request_class == "interactive" for g in queue.values())
    return ClassCounts(interactive=interactive, batch=len(queue) - interactive)
