"""The generations on a host: they wait, have a slot, are held, or leave the old model.

Says what happens to each of them, from its arrival to its last frame. Who gets a slot is decided
in `admission`, when a model changes in `host`.
"""

from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.engine.decisions.admission import Admission
from serving.engine.decisions.generation import Generation, arrived
from serving.wire import Failed, HandedBack


class Generations:
    """Every generation of one host, by key."""

    def __init__(self) -> None:
        self.admission = Admission()
        self.leaving: dict[str, Generation] = {}
        """Still on the engine of a model that was replaced: they take no slot of the new one."""

    def none_on_engines(self) -> bool:
        """Whether no engine runs any generation."""
        return not self.admission.on_engine() and not self.leaving

    def submit(self, event: ev.Submitted, now: float) -> None:
        """Let a generation wait for a slot."""
        self.admission.waiting[event.key] = arrived(event, now)

    def progressed(self, event: ev.Progressed, now: float) -> None:
        """Count tokens."""
        found = ((self._on_engine(key), tokens) for key, tokens in event.tokens.items())
        self.admission.progressed([(g, tokens) for g, tokens in found if g is not None], now)

    def ended(self, event: ev.StreamEnded) -> list[fx.Effect]:
        """A generation is off its engine: its slot is free and its stream ends."""
        generation = self._on_engine(event.key)
        if generation is None:
            return []
        self.admission.running.pop(event.key, None)
        self.admission.held.pop(event.key, None)
        self.leaving.pop(event.key, None)
        if generation.unwanted:
            return [fx.Close(event.key, None)]
        frame = event.frame or generation.ending
        if frame is None:
            frame = Failed("the engine ended the stream without a reason", retryable=True)
        return [fx.Close(event.key, frame)]

    def cancelled(self, key: str) -> list[fx.Effect]:
        """Nobody wants this generation any more."""
        if self.admission.waiting.pop(key, None) is not None:
            return [fx.Close(key, None)]
        generation = self._on_engine(key)
        if generation is None or generation.unwanted:
            return []
        already_halting = generation.halting
        generation.unwanted = True
        return [] if already_halting else [fx.Halt(key)]

    def leave(self) -> list[fx.Effect]:
        """The model of all that is on the engine is replaced: its slots are the new model's now."""
        left, effects = self.admission.leave()
        self.leaving.update(left)
        return effects

    def close_waiting(self, frame: HandedBack) -> list[fx.Effect]:
        """End the streams of everything that waits."""
        keys = list(self.admission.waiting)
        self.admission.waiting.clear()
        return [fx.Close(key, frame) for key in keys]

    def halt_running(
        self, frame: HandedBack | Failed, *, evictable_only: bool = False
    ) -> list[fx.Effect]:
        """Take what runs or is held off the awake engine."""
        running = list(self.admission.on_engine().values())
        if evictable_only:
            running = [generation for generation in running if generation.evictable]
        return halted(running, frame)

    def halt_leaving(self, frame: HandedBack | Failed) -> list[fx.Effect]:
        """Take what is left off the old engine."""
        return halted(list(self.leaving.values()), frame)

    def _on_engine(self, key: str) -> Generation | None:
        admission = self.admission
        return admission.running.get(key) or admission.held.get(key) or self.leaving.get(key)


def halted(generations: list[Generation], frame: HandedBack | Failed) -> list[fx.Effect]:
    """Take these off their engine, each once; their streams end with `frame`."""
    effects: list[fx.Effect] = []
    for generation in generations:
        if generation.halting:
            continue
        generation.ending = frame
        if isinstance(frame, HandedBack):
            effects.append(fx.Evicted(generation.key, frame.reason))
        effects.append(fx.Halt(generation.key))
    return effects
