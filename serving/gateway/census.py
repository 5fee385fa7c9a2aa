"""How many generations of each model and class wait and run, and the samples of it.

The one owner of these counts. A generation waits while it has no slot: without a replica, or
queued on a host.
"""

import asyncio
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Literal, Protocol

from analytics.events import Event, GatewaySample
from serving.wire import RequestClass

Place = Literal["waiting", "running"]
Key = tuple[str, RequestClass]

SAMPLE_EVERY_S = 1.0
SOONEST_DUE_S = 1.0
"""What is due sooner, or is late, counts as due in so many seconds."""


class EventSink(Protocol):
    """Where events go: never blocks, never raises."""

    def append(self, event: Event) -> None:
        """Take an event."""


@dataclass
class _Work:
    """What is here of one piece of batch work."""

    generations: int = 0
    due_per_s: float = 0.0


class Census:
    """Counts by model and class, sampled once a second and when waiting begins or ends."""

    def __init__(self, events: EventSink) -> None:
        self._events = events
        self._counts: dict[Place, Counter[Key]] = {"waiting": Counter(), "running": Counter()}
        self._works: dict[str, dict[str, _Work]] = defaultdict(dict)
        self._last_sampled: dict[Key, tuple[int, int]] = {}

    def works(self, model: str) -> int:
        """How many batches, or other pieces of batch work, have generations of the model here."""
        return len(self._works[model])

    def due_per_s(self, model: str) -> float:
        """At what rate batch generations of the model must end for all that are here to be in time.

        The sum over them of one by the seconds in which each was due when it came. A batch whose
        open rows are all due when their share of its time left is over, adds its rows left by that
        time, however many are open (`orchestration.batch.urgency`).
        """
        return sum(work.due_per_s for work in self._works[model].values())

    def count(self, place: Place, model: str, request_class: RequestClass) -> int:
        """How many are there now."""
        return self._counts[place][model, request_class]

    def moved(self, key: Key, *, leaves: Place | None, enters: Place | None) -> None:
        """A generation changed its place; None is outside."""
        waited = self._counts["waiting"][key]
        if leaves is not None:
            self._counts[leaves][key] -= 1
        if enters is not None:
            self._counts[enters][key] += 1
        if (waited == 0) != (self._counts["waiting"][key] == 0):
            self._sample(key)

    def came(self, model: str, work: str, due_per_s: float) -> None:
        """A generation more of a piece of batch work, and the rate that it asks for."""
        here = self._works[model].setdefault(work, _Work())
        here.generations += 1
        here.due_per_s += due_per_s

    def left(self, model: str, work: str, due_per_s: float) -> None:
        """A generation less."""
        here = self._works[model][work]
        here.generations -= 1
        here.due_per_s -= due_per_s
        if not here.generations:
            del self._works[model][work]

    async def run(self) -> None:
        """Sample until cancelled. A model that was at rest and still is gets no sample."""
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S)
            for key in set(self._counts["waiting"]) | set(self._counts["running"]):
                now = (self._counts["waiting"][key], self._counts["running"][key])
                if now != (0, 0) or self._last_sampled.get(key) != now:
                    self._sample(key)

    def _sample(self, key: Key) -> None:
        waiting, running = self._counts["waiting"][key], self._counts["running"][key]
        self._last_sampled[key] = (waiting, running)
        model, request_class = key
        self._events.append(
            GatewaySample(
                sampled_at=time.time(),
                model=model,
                request_class=request_class,
                waiting=waiting,
                running=running,
            )
        )


class Whereabouts:
    """One generation's place in the census; leaves it on exit.

    `work`: what batch work it is of; `due_in_s`: when it is due, None if it is not.
    """

    def __init__(
        self,
        census: Census,
        model: str,
        request_class: RequestClass,
        work: str = "",
        due_in_s: float | None = None,
    ) -> None:
        self._census, self._key, self._work = census, (model, request_class), work
        self._due_per_s = 0.0 if due_in_s is None else 1 / max(SOONEST_DUE_S, due_in_s)
        self._place: Place | None = None

    def move(self, place: Place | None) -> None:
        """Go to `place`."""
        if place != self._place:
            self._census.moved(self._key, leaves=self._place, enters=place)
            self._place = place

    def __enter__(self) -> "Whereabouts":
        self.move("waiting")
        model, request_class = self._key
        if request_class == "batch":
            self._census.came(model, self._work, self._due_per_s)
        return self

    def __exit__(self, *_: object) -> None:
        self.move(None)
        model, request_class = self._key
        if request_class == "batch":
            self._census.left(model, self._work, self._due_per_s)
