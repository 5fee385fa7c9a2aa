"""What waits for each model, and what hosts would compute again: as this gateway knows it.

The one owner of these. Each generation has a place here while it is driven; what is done about
those that wait is decided by `serving.switching`.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from serving.gateway.moving import PrefillRates
from serving.wire import RequestClass


@dataclass
class _Line:
    """The generations of one model."""

    waiting: dict[RequestClass, dict["Place", float]] = field(
        default_factory=lambda: {"interactive": {}, "batch": {}}
    )
    """Since when (monotonic) no host has them, in the order in which they began to wait."""
    unanswered: dict["Place", None] = field(default_factory=dict)
    """Interactive ones without a first token."""


@dataclass(frozen=True)
class Waiting:
    """What waits for one model now."""

    model: str
    interactive: int = 0
    batch: int = 0
    interactive_wait_s: float = 0.0
    """Of the first of them."""
    batch_wait_s: float = 0.0
    prompt_work_s: float = 0.0
    """To compute the prompts of all interactive ones without a first token; 0: not known."""


class Queues:
    """Places of generations, by model and by host."""

    def __init__(self, rates: PrefillRates) -> None:
        self._rates = rates
        self._lines: dict[str, _Line] = {}
        self._on_host: defaultdict[str, set[Place]] = defaultdict(set)
        """Interactive ones only."""
        self._on_change: list[Callable[[], None]] = []

    def on_change(self, call: Callable[[], None]) -> None:
        """From now on call `call()` when a generation waits, is answered, or leaves a host."""
        self._on_change.append(call)

    def place(
        self, model: str, request_class: RequestClass, kept_tokens: Callable[[], int]
    ) -> "Place":
        """A generation's place; `kept_tokens` says what it would compute again elsewhere."""
        line = self._lines.setdefault(model, _Line())
        return Place(self, line, model, request_class, kept_tokens)

    def waiting(self) -> Iterator[Waiting]:
        """Every model that something waits for."""
        now = time.monotonic()
        for model, line in self._lines.items():
            interactive, batch = line.waiting["interactive"], line.waiting["batch"]
            if interactive or batch or line.unanswered:
                yield Waiting(
                    model=model,
                    interactive=len(interactive),
                    batch=len(batch),
                    interactive_wait_s=now - next(iter(interactive.values()), now),
                    batch_wait_s=now - next(iter(batch.values()), now),
                    prompt_work_s=sum(map(self.compute_s, line.unanswered)),
                )

    def unanswered(self, host: str) -> int:
        """Interactive generations on `host` without a first token."""
        return sum(not place.is_answered for place in self._on_host[host])

    def prompt_work_s(self, host: str) -> float:
        """To compute the prompts of the interactive ones on `host` without a first token."""
        return sum(self.compute_s(p) for p in self._on_host[host] if not p.is_answered)

    def resume_s(self, host: str) -> float:
        """How long it takes to compute again what the interactive ones on `host` have computed."""
        return sum(self.compute_s(place) for place in self._on_host[host] if place.is_answered)

    def compute_s(self, place: "Place") -> float:
        """How long an engine computes what it has so far; 0: not known."""
        fastest = self._rates.fastest_tokens_per_s(place.model)
        return 0.0 if fastest is None else place.kept_tokens() / fastest

    def moved(self, place: "Place", host: str | None) -> None:
        """An interactive generation goes to `host`; None: no host has it."""
        if place.host is not None:
            self._on_host[place.host].discard(place)
        if host is not None:
            self._on_host[host].add(place)

    def changed(self) -> None:
        """Tell who wants to know."""
        for call in self._on_change:
            call()


class Place:
    """One generation: it waits, is on a host, is answered; a context manager that leaves."""

    def __init__(
        self,
        queues: Queues,
        line: _Line,
        model: str,
        request_class: RequestClass,
        kept_tokens: Callable[[], int],
    ) -> None:
        self.model, self.kept_tokens = model, kept_tokens
        self.host: str | None = None
        self._queues, self._line, self._class = queues, line, request_class

    @property
    def is_answered(self) -> bool:
        """Whether it has its first token; a batch one counts as if it had."""
        return self not in self._line.unanswered

    def wait(self) -> None:
        """No host has it."""
        self._go(None)
        self._line.waiting[self._class][self] = time.monotonic()
        self._queues.changed()

    def taken(self, host: str) -> None:
        """`host` has it."""
        self._line.waiting[self._class].pop(self, None)
        self._go(host)

    def answered(self) -> None:
        """It has its first token."""
        if not self.is_answered:
            del self._line.unanswered[self]
            self._queues.changed()

    def __enter__(self) -> "Place":
        if self._class == "interactive":
            self._line.unanswered[self] = None
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._line.waiting[self._class].pop(self, None)
        self._line.unanswered.pop(self, None)
        self._go(None)
        self._queues.changed()

    def _go(self, host: str | None) -> None:
        if self._class == "interactive":
            self._queues.moved(self, host)
        self.host = host
