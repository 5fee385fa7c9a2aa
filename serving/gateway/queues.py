"""What waits for each model: requests that no host has taken, and those without a first token.

The one owner of these. Each generation has a place here while it is driven; what is done about
those that wait is decided by `serving.switching`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from serving.gateway.moving import PrefillRates
from serving.wire import RequestClass


@dataclass
class _Line:
    """The generations of one model that wait, in the order in which they began to."""

    waiting: dict[RequestClass, dict["Place", float]] = field(
        default_factory=lambda: {"interactive": {}, "batch": {}}
    )
    """Since when (monotonic) no host has them."""
    unanswered: dict["Place", int] = field(default_factory=dict)
    """Interactive ones without a first token: tokens of their prompts."""


@dataclass(frozen=True)
class Waiting:
    """What waits for one model now."""

    model: str
    interactive: int
    batch: int
    interactive_wait_s: float
    """Of the first of them."""
    batch_wait_s: float
    prompt_work_s: float
    """To compute the prompts of all interactive ones without a first token; 0: not known."""


class Queues:
    """Places of generations, by model."""

    def __init__(self, rates: PrefillRates) -> None:
        self._rates = rates
        self._lines: dict[str, _Line] = {}
        self._unanswered: Counter[str] = Counter()
        self._on_change: Callable[[], None] = lambda: None

    def on_change(self, call: Callable[[], None]) -> None:
        """Call `call()` whenever a generation waits, is answered, or leaves a host."""
        self._on_change = call

    def place(self, model: str, request_class: RequestClass, prompt_tokens: int) -> "Place":
        """A generation's place, from when it is entered; its model's line is made here."""
        line = self._lines.setdefault(model, _Line())
        return Place(self, line, request_class, prompt_tokens)

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
                    prompt_work_s=self._work_s(model, line),
                )

    def unanswered(self, host: str) -> int:
        """Interactive generations on `host` without a first token."""
        return self._unanswered[host]

    def _work_s(self, model: str, line: _Line) -> float:
        fastest = self._rates.fastest_tokens_per_s(model)
        return 0.0 if fastest is None else sum(line.unanswered.values()) / fastest

    def moved(self, *, leaves: str | None, enters: str | None, answered: bool) -> None:
        """An interactive generation is on another host than it was, or has its first token."""
        if leaves is not None:
            self._unanswered[leaves] -= 1
        if enters is not None and not answered:
            self._unanswered[enters] += 1

    def changed(self) -> None:
        """Tell who wants to know."""
        self._on_change()


class Place:
    """One generation: it waits, is on a host, is answered; a context manager that leaves."""

    def __init__(
        self, queues: Queues, line: _Line, request_class: RequestClass, prompt_tokens: int
    ) -> None:
        self._queues, self._line = queues, line
        self._class, self._prompt_tokens = request_class, prompt_tokens
        self._answered = request_class == "batch"
        self._host: str | None = None

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
        if not self._answered:
            self._leave_unanswered()
            self._queues.changed()

    def __enter__(self) -> "Place":
        if not self._answered:
            self._line.unanswered[self] = self._prompt_tokens
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._line.waiting[self._class].pop(self, None)
        self._leave_unanswered()
        self._queues.changed()

    def _leave_unanswered(self) -> None:
        self._go(None)
        self._answered = True
        self._line.unanswered.pop(self, None)

    def _go(self, host: str | None) -> None:
        leaves = None if self._answered else self._host
        self._queues.moved(leaves=leaves, enters=host, answered=self._answered)
        self._host = host
