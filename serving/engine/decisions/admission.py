"""Admission: which generations of the awake engine compute, and which are held for them.

Interactive first: it computes up to the slots. While any is present, batch gets what the
interactive cap leaves, and surplus batch is held in place, never more than needed. A place that
comes free goes to a held generation before a waiting one, so batch on the engine, computing or
held, never exceeds the slots, and all of it goes on at once when interactive work leaves.
Pure: `step` says what to do; who gives up a place is decided in `holding`, whose turn it is in
`fairness`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from serving.engine.decisions import holding
from serving.engine.decisions.cap import CapLoop
from serving.engine.decisions.effects import Admit, Effect, Hold, Release, Steer
from serving.engine.decisions.fairness import FairShares
from serving.engine.decisions.generation import Generation
from serving.engine.protocol import Steering
from serving.wire import ClassCounts, RequestClass

RECONSIDER_S = 0.2
"""Tokens alone are a reason to decide again only so often: protection and cap change slowly."""


@dataclass(frozen=True)
class PromptBudget:
    """How many prompt tokens of batch generations a step may compute."""

    beside_interactive: int
    """Each one makes the step longer that interactive generations wait for."""
    alone: int
    """Bounded too: the next interactive prompt waits for the step in progress."""


@dataclass(frozen=True)
class Place:
    """The model that is awake, and what bounds its running batch."""

    model: str
    slots: int
    cap: CapLoop
    prompts: PromptBudget


class Admission:
    """The waiting queues, the running batch and the held generations of the awake engine."""

    def __init__(self) -> None:
        self.waiting: dict[str, Generation] = {}
        self.running: dict[str, Generation] = {}
        """They compute, or are on their way out."""
        self.held: dict[str, Generation] = {}
        """On the engine, but without a place."""
        self._place: Place | None = None
        self._steered: Steering | None = None
        """What the awake engine was told last."""
        self._stepped_at = 0.0
        self._shares: dict[RequestClass, FairShares] = {
            "interactive": FairShares(),
            "batch": FairShares(),
        }

    @property
    def slots(self) -> int:
        """Of the awake model; none before there was one."""
        return self._place.slots if self._place else 0

    @property
    def interactive_cap(self) -> int:
        """Of the awake model, now."""
        return self._place.cap.cap if self._place else 0

    def serve(self, place: Place) -> None:
        """From here on decide for this model; its engine has not been told anything."""
        self._place, self._steered = place, None

    def leave(self) -> tuple[dict[str, Generation], list[Effect]]:
        """Give up all that is on the engine: another is used now. What is held goes on there."""
        held = [generation.key for generation in self.held.values() if not generation.halting]
        left = self.on_engine()
        self.running.clear()
        self.held.clear()
        if self._place is None or not held:
            return left, []
        return left, [Steer(self._place.model, Steering()), *(Release(key) for key in held)]

    def on_engine(self) -> dict[str, Generation]:
        """Everything the engine has, computing or held."""
        return self.running | self.held

    def counts(self) -> tuple[ClassCounts, ClassCounts]:
        """Running and waiting generations by class; the held ones are in neither."""
        return _count(self.running), _count(self.waiting)

    def interactive_present(self) -> bool:
        """Whether any interactive generation runs or waits."""
        return self._interactive() > 0

    def progressed(self, progress: Sequence[tuple[Generation, int]], now: float) -> None:
        """Generations got tokens: charge their accounts, and let the cap learn from the gaps."""
        company = _company(self.running.values())
        for generation, tokens in progress:
            self._shares[generation.request_class].served(generation, tokens)
            if generation.request_class == "interactive" and generation.key in self.running:
                self._observe(generation, tokens, company, now)
            generation.got(tokens, now)

    def due(self, now: float) -> bool:
        """Whether tokens alone are reason to decide again."""
        return now - self._stepped_at >= RECONSIDER_S

    def step(self, now: float) -> list[Effect]:
        """What is due now; applied to this object. The engine is told before anyone is admitted."""
        place, self._stepped_at = self._place, now
        if place is None:
            return []
        effects = [*self._hold(now), *self._release(now), *self._admit(now)]
        return [*self._steer(place), *effects]

    def _observe(
        self, generation: Generation, tokens: int, company: "_Company", now: float
    ) -> None:
        """A gap counts if the same number computed all along, and no interactive prompt did."""
        steady = generation.computing_then == company.computing
        generation.computing_then = company.computing
        if self._place is None or generation.last_token_at is None or not steady or not tokens:
            return
        if company.interactive and not company.interactive_prompts:
            gap_s = (now - generation.last_token_at) / tokens
            self._place.cap.observe(company.computing, gap_s, tokens / company.interactive)

    def _interactive(self) -> int:
        return sum(
            generation.request_class == "interactive" and not generation.halting
            for queue in (self.running, self.waiting)
            for generation in queue.values()
        )

    def _batch(self) -> list[Generation]:
        return [g for g in self.running.values() if g.request_class == "batch" and not g.halting]

    def _places(self) -> holding.Places:
        return holding.places(
            slots=self.slots, cap=self.interactive_cap, interactive=self._interactive()
        )

    def _hold(self, now: float) -> Iterator[Effect]:
        for generation in holding.surplus(self._batch(), self._places(), now):
            generation.hold(now)
            self.held[generation.key] = self.running.pop(generation.key)
            yield Hold(generation.key)

    def _release(self, now: float) -> Iterator[Effect]:
        held = [generation for generation in self.held.values() if not generation.halting]
        computing, places = len(self._batch()), self._places()
        free = max(0, self.slots - len(self.running))
        for generation in holding.returning(held, computing, places, now)[:free]:
            generation.release(now)
            self.running[generation.key] = self.held.pop(generation.key)
            yield Release(generation.key)

    def _admit(self, now: float) -> Iterator[Effect]:
        if self.waiting and len(self.running) < self.slots:
            interactive = self._waiting("interactive")
            yield from self._take(interactive, self.slots - len(self.running), now)
            yield from self._admit_batch(now)

    def _admit_batch(self, now: float) -> Iterator[Effect]:
        """First to the places of all, then to those that are for protected ones alone."""
        computing, places = len(self._batch()), self._places()
        on_engine = max(len(self.running), computing + len(self.held))
        free = max(0, self.slots - on_engine)
        open_to_all = min(free, max(0, places.batch - computing))
        yield from self._take(self._waiting("batch"), open_to_all, now)
        computing += open_to_all
        rest = min(free - open_to_all, places.protected - computing)
        if rest > 0:
            protected = [g for g in self._waiting("batch") if holding.is_protected(g, now)]
            yield from self._take(protected, rest, now)

    def _waiting(self, request_class: RequestClass) -> list[Generation]:
        return [g for g in self.waiting.values() if g.request_class == request_class]

    def _take(self, waiting: list[Generation], places: int, now: float) -> Iterator[Effect]:
        if not waiting or places <= 0:
            return
        shares = self._shares[waiting[0].request_class]
        for generation in islice(shares.turns(waiting), places):
            yield self._admitted(generation, now)

    def _admitted(self, generation: Generation, now: float) -> Effect:
        del self.waiting[generation.key]
        self._shares[generation.request_class].admitted(generation)
        generation.admitted_at = now
        self.running[generation.key] = generation
        return Admit(generation.key, now - generation.arrived_at)

    def _steer(self, place: Place) -> Iterator[Effect]:
        budget = place.prompts
        present = self.interactive_present()
        wanted = Steering(
            frozenset(self.held), budget.beside_interactive if present else budget.alone
        )
        told, self._steered = self._steered, wanted
        if told is None or told.batch_prefill_tokens != wanted.batch_prefill_tokens:
            yield Steer(place.model, wanted)
        elif told.held & self.on_engine().keys() != wanted.held:
            # What has left the engine it has forgotten by itself.
            yield Steer(place.model, wanted)


class _Company(NamedTuple):
    """How many compute, of them interactive ones, and of these such as have no token yet."""

    computing: int
    interactive: int
    interactive_prompts: int


def _company(running: Iterable[Generation]) -> _Company:
    computing = [generation for generation in running if not generation.halting]
    interactive = [g for g in computing if g.request_class == "interactive"]
    return _Company(len(computing), len(interactive), sum(g.in_prefill for g in interactive))


def _count(queue: dict[str, Generation]) -> ClassCounts:
    interactive = sum(g.request_class == "interactive" for g in queue.values())
    return ClassCounts(interactive=interactive, batch=len(queue) - interactive)
