"""When an engine hangs: it was asked, and has said nothing for too long. Pure.

Time is counted in ticks that the host itself lives through, never read off a clock: of a host that
was stopped, or starved, together with its engines or alone, no time has passed. An engine answers
between two of its steps, so a long prompt that is computed in many is none of its silences. Who
asks, and what is done to an engine that hangs, is in `serving.engine.vigil`.
"""

from dataclasses import dataclass
from typing import Literal

TICK_S = 1.0
"""A tick comes no sooner after the last one; later, if the host has other troubles."""
PULSE_EVERY_S = 5.0
"""An engine without a command is asked so long after its last answer."""

Command = Literal["start", "sleep", "wake"]
"""What an engine answers once, when it is done."""


@dataclass(frozen=True)
class Patience:
    """How long an engine may say nothing."""

    answer_s: float = 60.0
    """Between two of its steps it answers at once: longer than the longest step."""
    command_s: float = 1800.0
    """To start, to sleep, or to wake: longer than to read the largest model's weights."""


@dataclass(frozen=True)
class AskForPulse:
    """Ask this engine; `Silence.answered` when it has answered."""

    model: str


@dataclass(frozen=True)
class Hung:
    """An engine that will not answer any more; nothing is said of it again until it starts anew."""

    model: str
    doing: Command | Literal["answer"]
    """What it was to do."""
    limit_s: float

    @property
    def why(self) -> str:
        """In words."""
        setting = "hung_after_s" if self.doing == "answer" else "command_limit_s"
        what = "answered nothing" if self.doing == "answer" else f"did not {self.doing}"
        return f"it hung: it {what} for {self.limit_s:g} s (`{setting}` of its host)"


@dataclass
class _Engine:
    """One engine with a process."""

    command: Command | None
    asked: bool = False
    """It owes an answer."""
    ticks: int = 0
    """Since its command began, it was asked, or it answered: whatever was last."""


class Silence:
    """How long each engine of a host has said nothing."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._engines: dict[str, _Engine] = {}

    def began(self, model: str, command: Command) -> None:
        """The engine was told to do this; it does nothing else meanwhile."""
        engine = self._engines.setdefault(model, _Engine(command))
        engine.command, engine.ticks = command, 0

    def ended(self, model: str) -> None:
        """The command is over. From here on the engine answers whenever it is asked."""
        if (engine := self._engines.get(model)) is not None:
            engine.command, engine.ticks = None, 0

    def answered(self, model: str) -> None:
        """What was asked before a command may be answered in it: the command goes on."""
        engine = self._engines.get(model)
        if engine is None or not engine.asked:
            return
        engine.asked = False
        if engine.command is None:
            engine.ticks = 0

    def gone(self, model: str) -> None:
        """There is no such engine any more."""
        self._engines.pop(model, None)

    def tick(self) -> list[AskForPulse | Hung]:
        """One more tick has passed: whom to ask, and who hangs."""
        due = [self._after_tick(*item) for item in list(self._engines.items())]
        return [each for each in due if each is not None]

    def _after_tick(self, model: str, engine: _Engine) -> AskForPulse | Hung | None:
        engine.ticks += 1
        silent_s = engine.ticks * TICK_S
        patience = self._patience
        if engine.command is None and not engine.asked:
            if silent_s < PULSE_EVERY_S:
                return None
            engine.asked, engine.ticks = True, 0
            return AskForPulse(model)
        limit_s = patience.command_s if engine.command else patience.answer_s
        if silent_s < limit_s:
            return None
        del self._engines[model]
        return Hung(model, engine.command or "answer", limit_s)
