"""One engine host's decisions: admission, hotswaps, recovery and tiers put together.

`HostDecisions.apply` takes one event and returns the effects to perform, in order. It is the only
place that changes the host's state; nothing here waits, and nothing here can fail.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from serving.engine.decisions import events as ev
from serving.engine.decisions.admission import Admission, Generation
from serving.engine.decisions.fencing import ObeyedPlan, refusal, repeats
from serving.engine.decisions.residency import Residency
from serving.engine.decisions.transaction import Transaction
from serving.wire import Failed, HandedBack, HostPhase, SwapReport

_RETRY_DELAYS_S = (1.0, 2.0, 5.0, 15.0, 30.0)


@dataclass(frozen=True)
class Limits:
    """What admission needs to know of a model."""

    slots: int
    interactive_cap: int


class HostDecisions:
    """The state of one engine host, changed by one event at a time."""

    def __init__(
        self,
        host: str,
        models: Mapping[str, Limits],
        *,
        budget_bytes: int,
        drain_s: float,
        obeyed: ObeyedPlan,
    ) -> None:
        self.host = host
        self.phase: HostPhase = "starting"
        self.awake: str | None = None
        self.failure: str | None = None
        self.obeyed = obeyed
        self.admission = Admission()
        self.residency = Residency(models, budget_bytes=budget_bytes)
        self.transaction: Transaction | None = None
        self._models = dict(models)
        self._drain_s = drain_s
        self._commands: deque[ev.SwapAsked] = deque()
        self._home: str | None = None
        self._steps = 0
        self._retries = 0
        self._ending = False

    def boot(self, model: str | None, now: float) -> list[ev.Effect]:
        """The first decision: start `model`, or wait for a plan when there is none."""
        self._home = model
        return [] if model is None else self._begin(model, None, now)

    def apply(self, event: ev.Event, now: float) -> list[ev.Effect]:
        """Change the state by one event; the effects are to be performed in order."""
        effects = self._on(event, now)
        effects += self._settle(now)
        return effects

    def _on(self, event: ev.Event, now: float) -> list[ev.Effect]:
        match event:
            case ev.Submitted():
                return self._submitted(event, now)
            case ev.Progressed():
                if (generation := self.admission.running.get(event.key)) is not None:
                    generation.tokens += event.tokens
                return []
            case ev.StreamEnded():
                return self._stream_ended(event)
            case ev.Cancelled():
                return self._cancelled(event.key)
            case ev.SwapAsked():
                self._commands.append(event)
                return []
            case ev.EngineLost():
                return self._engine_lost(event)
            case ev.ShutdownAsked():
                self._ending = True
                return self._give_back_all("shutdown")
            case _:
                return self._on_progress(event, now)

    def _on_progress(self, event: ev.Event, now: float) -> list[ev.Effect]:
        transaction = self.transaction
        if self._ending:
            return []
        match event:
            case ev.StepDone(step, error) if transaction and transaction.step == step:
                return self._step_done(transaction, error, now)
            case ev.DrainExpired(step) if transaction and transaction.step == step:
                effects = self._halt_running(HandedBack("hotswap"))
                transaction.handed_back += sum(isinstance(e, ev.Halt) for e in effects)
                return effects
            case ev.RetryDue():
                return self._retry(now)
            case ev.Moved(model, tier, error):
                self.residency.moving = None
                if error is not None:
                    self.residency.leave_on_disk(model)
                if model != self.awake:
                    self.residency.set_tier(model, tier)
            case ev.Measured(memory_bytes):
                self.residency.measured(memory_bytes)
            case ev.PrewarmAllowed():
                self.residency.prewarm = True
        return []

    # ---------------------------------------------------------------- generations

    def _submitted(self, event: ev.Submitted, now: float) -> list[ev.Effect]:
        if self._ending:
            return [ev.Close(event.key, HandedBack("shutdown"))]
        if event.model != self.awake or self.phase != "serving":
            return [ev.Close(event.key, HandedBack("not_awake"))]
        self.admission.waiting[event.key] = Generation(
            event.key, event.request_class, event.evictable, event.tokens, now
        )
        return []

    def _stream_ended(self, event: ev.StreamEnded) -> list[ev.Effect]:
        generation = self.admission.running.pop(event.key, None)
        if generation is None:
            return []
        if generation.unwanted:
            return [ev.Close(event.key, None)]
        frame = event.frame or generation.ending
        if frame is None:
            frame = Failed("the engine ended the stream without a reason", retryable=True)
        return [ev.Close(event.key, frame)]

    def _cancelled(self, key: str) -> list[ev.Effect]:
        if self.admission.waiting.pop(key, None) is not None:
            return [ev.Close(key, None)]
        generation = self.admission.running.get(key)
        if generation is None or generation.unwanted:
            return []
        already_halting = generation.halting
        generation.unwanted = True
        return [] if already_halting else [ev.Halt(key)]

    def _give_back_all(self, reason: str) -> list[ev.Effect]:
        """Hand back everything waiting and running."""
        frame = HandedBack("shutdown") if reason == "shutdown" else HandedBack("hotswap")
        return self._close_waiting(frame) + self._halt_running(frame)

    def _close_waiting(self, frame: HandedBack) -> list[ev.Effect]:
        keys = list(self.admission.waiting)
        self.admission.waiting.clear()
        return [ev.Close(key, frame) for key in keys]

    def _halt_running(
        self, frame: HandedBack | Failed, *, evictable_only: bool = False
    ) -> list[ev.Effect]:
        effects: list[ev.Effect] = []
        for generation in self.admission.running.values():
            if generation.halting or (evictable_only and not generation.evictable):
                continue
            generation.ending = frame
            if isinstance(frame, HandedBack):
                effects.append(ev.Evicted(generation.key, frame.reason))
            effects.append(ev.Halt(generation.key))
        return effects

    # ---------------------------------------------------------------- what is due next

    def _settle(self, now: float) -> list[ev.Effect]:
        """Everything that has become possible with the last event."""
        if self._ending:
            done = [] if self.admission.running else [ev.ShutDown()]
            return [*self._refuse_commands(), *done]
        effects: list[ev.Effect] = []
        transaction = self.transaction
        if transaction and transaction.phase == "hand_back" and not self.admission.running:
            effects += self._step_done(transaction, None, now)
        while self.transaction is None and self._commands:
            effects += self._command(self._commands.popleft(), now)
        if self.phase == "serving":
            effects += self.admission.step(now)
            move = self.residency.next_move(busy=self.admission.interactive_present())
            effects += [move] if move else []
        return effects

    def _refuse_commands(self) -> list[ev.Effect]:
        tickets = [asked.ticket for asked in self._commands]
        if self.transaction is not None and self.transaction.ticket is not None:
            tickets.append(self.transaction.ticket)
        self._commands.clear()
        self.transaction = None
        return [ev.Answer(ticket, None, "the host is shutting down") for ticket in tickets]

    # ---------------------------------------------------------------- hotswaps

    def _command(self, asked: ev.SwapAsked, now: float) -> list[ev.Effect]:
        command = asked.command
        refused = refusal(command, self.obeyed, awake=self.awake, models=frozenset(self._models))
        if refused is not None:
            return [ev.Answer(asked.ticket, None, refused)]
        if repeats(command, self.obeyed):
            return [ev.Answer(asked.ticket, self.obeyed.report)]
        self.obeyed = ObeyedPlan(command.plan_id, command.model, None)
        remember: list[ev.Effect] = [ev.RememberPlan(command, None)]
        if command.model == self.awake:
            report = self._unchanged(asked)
            self.obeyed = ObeyedPlan(command.plan_id, command.model, report)
            return [ev.RememberPlan(command, report), ev.Answer(asked.ticket, report)]
        return remember + self._begin(command.model, asked, now)

    def _unchanged(self, asked: ev.SwapAsked) -> SwapReport:
        return SwapReport(
            host=self.host,
            plan_id=asked.command.plan_id,
            from_model=self.awake,
            to_model=asked.command.model,
            outcome="unchanged",
            from_tier="awake",
            total_s=0.0,
            phases_s={},
            handed_back=0,
        )

    def _begin(self, model: str, asked: ev.SwapAsked | None, now: float) -> list[ev.Effect]:
        """Fence, and hand back everything; generations that are not evictable get time to end."""
        self._steps += 100
        transaction = Transaction(
            to_model=model,
            from_model=self.awake,
            from_tier=self.residency.tiers[model],
            began_at=now,
            command=asked.command if asked else None,
            ticket=asked.ticket if asked else None,
        )
        transaction.begin(self._steps, now)
        self.transaction = transaction
        self.phase = "swapping" if asked else "starting"
        self.failure, self.awake = None, None
        transaction.handed_back = len(self.admission.waiting)
        effects = self._close_waiting(HandedBack("hotswap"))
        halts = self._halt_running(HandedBack("hotswap"), evictable_only=True)
        transaction.handed_back += sum(isinstance(effect, ev.Halt) for effect in halts)
        effects += halts
        if not self.admission.running:
            return effects + self._step_done(transaction, None, now)
        return [*effects, ev.DrainTimer(transaction.step, self._drain_s)]

    def _step_done(
        self, transaction: Transaction, error: str | None, now: float
    ) -> list[ev.Effect]:
        self._record_tier(transaction, error)
        step = transaction.advance(error, now)
        if step is not None:
            return [step]
        self.transaction = None
        self.awake = transaction.awake_after
        if self.awake is None:
            effects = self._failed(transaction)
        else:
            self.phase, self._home, self._retries = "serving", self.awake, 0
            limits = self._models[self.awake]
            self.admission.set_limits(slots=limits.slots, interactive_cap=limits.interactive_cap)
            effects = []
        return effects + self._reported(transaction, now)

    def _record_tier(self, transaction: Transaction, error: str | None) -> None:
        old, new = transaction.from_model, transaction.to_model
        tiers = self.residency
        match transaction.phase:
            case "sleep" if old is not None and error is None:
                tiers.set_tier(old, "asleep")
            case "stop_old" if old is not None:
                tiers.set_tier(old, "disk")
            case "wake" if error is None:
                tiers.set_tier(new, "awake")
            case "stop":
                tiers.set_tier(new, "disk")
            case "rollback_wake" if old is not None:
                tiers.set_tier(old, "awake" if error is None else "disk")
            case "rollback_stop" if old is not None:
                tiers.set_tier(old, "disk")

    def _failed(self, transaction: Transaction) -> list[ev.Effect]:
        self.phase, self.failure = "failed", transaction.error
        self._home = self._home or transaction.to_model
        delay_s = _RETRY_DELAYS_S[min(self._retries, len(_RETRY_DELAYS_S) - 1)]
        self._retries += 1
        return [ev.RetryTimer(delay_s)]

    def _reported(self, transaction: Transaction, now: float) -> list[ev.Effect]:
        command = transaction.command
        if command is None or transaction.ticket is None:
            return []
        report = transaction.report(self.host, now)
        self.obeyed = ObeyedPlan(command.plan_id, command.model, report)
        return [
            ev.RememberPlan(command, report),
            ev.SwapEnded(command, report),
            ev.Answer(transaction.ticket, report),
        ]

    # ---------------------------------------------------------------- recovery

    def _retry(self, now: float) -> list[ev.Effect]:
        if self.phase != "failed" or self._home is None or self.transaction is not None:
            return []
        return self._begin(self._home, None, now)

    def _engine_lost(self, event: ev.EngineLost) -> list[ev.Effect]:
        if event.model != self.awake:
            # A transaction that uses this engine learns of it by its step's failure.
            self.residency.set_tier(event.model, "disk")
            return []
        effects = self._close_waiting(HandedBack("not_awake"))
        effects += self._halt_running(
            Failed(f"the engine of {event.model} died: {event.reason}", retryable=True)
        )
        self.residency.set_tier(event.model, "disk")
        self.awake, self.phase, self.failure = None, "failed", event.reason
        return [*effects, ev.RetryTimer(0.0)]
