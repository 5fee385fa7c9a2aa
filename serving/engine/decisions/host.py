"""One engine host's decisions: admission, hotswaps, recovery and tiers put together.

`HostDecisions.apply` takes one event and returns the effects to perform, in order. It is the only
place that changes the host's state; nothing here waits, and nothing here can fail.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.engine.decisions import handing_back
from serving.engine.decisions.commands import Commands
from serving.engine.decisions.device import DeviceBudget
from serving.engine.decisions.fencing import ObeyedPlan
from serving.engine.decisions.generations import Generations
from serving.engine.decisions.limits import Caps, Limits
from serving.engine.decisions.residency import Residency
from serving.engine.decisions.staggering import CPU_PREFILL_TOKENS_PER_S
from serving.engine.decisions.tier_requests import TierRequests
from serving.engine.decisions.transaction import Transaction
from serving.wire import BatchSizeProfile, Failed, HandedBack, HostPhase

_RETRY_DELAYS_S = (1.0, 2.0, 5.0, 15.0, 30.0)


class HostDecisions:
    """The state of one engine host, changed by one event at a time."""

    def __init__(
        self,
        host: str,
        models: Mapping[str, Limits],
        *,
        budget_bytes: int,
        prefill_tokens_per_s: float = CPU_PREFILL_TOKENS_PER_S,
        drain_s: float,
        obeyed: ObeyedPlan,
        device_bytes: int | None = 0,
        device: DeviceBudget | None = None,
        standbys: Sequence[str] = (),
        profiles: Iterable[BatchSizeProfile] = (),
    ) -> None:
        """`standbys`: what to keep ready as long as no plan says otherwise, first one first."""
        self.host = host
        self.phase: HostPhase = "starting"
        self.awake: str | None = None
        self.failure: str | None = None
        self.commands = Commands(host, models, obeyed)
        self.generations = Generations()
        self.admission = self.generations.admission
        self.residency = Residency(
            models,
            budget_bytes=budget_bytes,
            device_bytes=device_bytes,
            device=device,
            standbys=standbys,
            kv_cache_bytes={name: limits.kv_cache_bytes for name, limits in models.items()},
        )
        self.tier_requests = TierRequests(host)
        self.transaction: Transaction | None = None
        self._caps = Caps(models, profiles)
        self._standbys = tuple(standbys)
        self._keep_ready()
        self._drain_s = drain_s
        self._home: str | None = None
        self._steps = 0
        self._retries = 0
        self._ending = False
        self._prefill_tokens_per_s = prefill_tokens_per_s

    @property
    def obeyed(self) -> ObeyedPlan:
        """The last plan obeyed."""
        return self.commands.obeyed

    def wake_s(self) -> dict[str, float]:
        """For each model of a grant of several, how long a switch to it is expected to take."""
        grant = self.obeyed.granted
        return {model: self.residency.hotswap_s(model) for model in grant if len(grant) > 1}

    @property
    def swap_target(self) -> str | None:
        """The model that will be awake, if it is not yet."""
        transaction = self.transaction
        if transaction is None or transaction.switched:
            return None
        return None if transaction.cancelled and transaction.old_serves else transaction.to_model

    def boot(self, model: str | None, now: float) -> list[fx.Effect]:
        """The first decision: start `model`, or wait for a plan when there is none."""
        self._home = model
        return [] if model is None else self._begin(model, None, now)

    def apply(self, event: ev.Event, now: float) -> list[fx.Effect]:
        """Change the state by one event; the effects are to be performed in order."""
        effects = self._on(event, now)
        if isinstance(event, ev.Progressed) and not self.admission.due(now):
            return effects
        effects += self._settle(now)
        return effects

    def _on(self, event: ev.Event, now: float) -> list[fx.Effect]:
        match event:
            case ev.Submitted():
                return self._submitted(event, now)
            case ev.Progressed():
                self.generations.progressed(event, now)
                return []
            case ev.StreamEnded():
                return self.generations.ended(event)
            case ev.Cancelled():
                return self.generations.cancelled(event.key)
            case ev.SwitchAsked():
                return self._switch(event, now)
            case ev.SwapAsked() | ev.TierAsked() | ev.CancelAsked():
                return self._asked(event)
            case ev.GrantAsked() | ev.StandbysAsked() | ev.Profiled() | ev.LevelSet():
                return self._asked(event)
            case ev.EngineLost():
                return self._engine_lost(event, now)
            case ev.ShutdownAsked():
                self._ending = True
                return handing_back.everything(self.generations)
            case _:
                return self._on_progress(event, now)

    def _asked(self, event: ev.Command) -> list[fx.Effect]:
        match event:
            case ev.SwapAsked():
                self.commands.waiting.append(event)
            case ev.TierAsked():
                self.tier_requests.ask(event)
            case ev.StandbysAsked(ticket, _, models):
                refused = self.commands.refuse_standbys(event)
                if refused is None:
                    self._standbys = models
                    self._keep_ready()
                return [fx.Answer(ticket, None, refused)]
            case ev.GrantAsked():
                effects = self.commands.grant(event)
                self._keep_ready()
                return effects
            case ev.CancelAsked():
                return self.commands.cancel(event, self.transaction)
            case ev.Profiled():
                return self._caps.profiled(event)
            case ev.LevelSet():
                return self._caps.levelled(event)
        return []

    def _on_progress(self, event: ev.Event, now: float) -> list[fx.Effect]:
        transaction = self.transaction
        if self._ending:
            return []
        match event:
            case ev.StepDone() | ev.DrainExpired() | ev.HandBackDue():
                if transaction is not None and transaction.step == event.step:
                    return self._on_step(transaction, event, now)
            case ev.RetryDue():
                return self._retry(now)
            case ev.Moved(model, tier, error):
                self.residency.moved(model, tier, error, now)
                return self.tier_requests.moved(event, now)
            case ev.Measured(memory_bytes, changes, on_device) if self._at_rest():
                # An engine measured half way would be taken for what it holds in a tier.
                self.residency.measured(memory_bytes, changes, on_device)
            case ev.WeightsSeen(models):
                self.residency.weights_seen(models)
            case ev.PrewarmAllowed():
                self.residency.prewarm = True
        return []

    def _on_step(
        self,
        transaction: Transaction,
        event: ev.StepDone | ev.DrainExpired | ev.HandBackDue,
        now: float,
    ) -> list[fx.Effect]:
        match event:
            case ev.StepDone(_, error):
                return self._step_done(transaction, error, now)
            case ev.DrainExpired():
                return handing_back.the_rest(self.generations, transaction)
            case ev.HandBackDue():
                return self._stagger(transaction, now)

    # ---------------------------------------------------------------- generations

    def _submitted(self, event: ev.Submitted, now: float) -> list[fx.Effect]:
        if self._ending:
            return [fx.Close(event.key, HandedBack("shutdown"))]
        if event.model != self.awake or self.phase != "serving":
            return [fx.Close(event.key, HandedBack("not_awake"))]
        self.generations.submit(event, now)
        return []

    def _hand_back(self, transaction: Transaction, now: float) -> list[fx.Effect]:
        """Give back what waits and, unless it is to drain, what runs: at once or by and by.

        What stays, because it is to drain or is not evictable, gets time to end.
        """
        effects = handing_back.at_once(self.generations, transaction)
        if transaction.wakes_first:
            effects += self.generations.leave()
            self._serve(transaction.to_model)
        if transaction.policy == "stagger":
            effects += self._stagger(transaction, now)
        if self.generations.none_on_engines():
            return effects + self._step_done(transaction, None, now)
        asked_s = transaction.drain_s
        return [
            *effects,
            fx.DrainTimer(transaction.step, self._drain_s if asked_s is None else asked_s),
        ]

    def _stagger(self, transaction: Transaction, now: float) -> list[fx.Effect]:
        rate = self._prefill_tokens_per_s
        return handing_back.next_ones(self.generations, transaction, rate, now)

    # ---------------------------------------------------------------- what is due next

    def _settle(self, now: float) -> list[fx.Effect]:
        """Everything that has become possible with the last event."""
        if self._ending:
            done = [fx.ShutDown()] if self.generations.none_on_engines() else []
            refused = self.commands.refuse_all(self.transaction, "the host is shutting down")
            self.transaction = None
            return [*refused, *self.tier_requests.refuse_all("the host is shutting down"), *done]
        effects: list[fx.Effect] = []
        transaction = self.transaction
        handing = transaction is not None and transaction.phase == "hand_back"
        if transaction and handing and handing_back.ended(self.generations, transaction):
            effects += self._step_done(transaction, None, now)
        while self.transaction is None and self.commands.waiting:
            effects += self._command(self.commands.waiting.popleft(), now)
        if self.phase == "serving" or self._draining():
            effects += self.admission.step(now)
        if self.phase == "serving" and self.transaction is None:
            effects += self._background_move(now)
        return effects

    def _background_move(self, now: float) -> list[fx.Effect]:
        """What is over the budget gives way, then what was asked for, then prewarming."""
        residency = self.residency
        move = residency.demotion(now)
        effects = self.tier_requests.next_move(residency, now) if residency.may_move else []
        busy = self.admission.interactive_present()
        move = move or residency.next_move(busy=busy, now=now)
        return [*effects, move] if move else effects

    def _at_rest(self) -> bool:
        """Whether no engine changes its tier now."""
        return self.transaction is None and self.residency.moving is None

    def _draining(self) -> bool:
        """Whether the old engine takes nothing more, but what it holds may go on as places free."""
        transaction = self.transaction
        if transaction is None or transaction.phase != "hand_back" or transaction.wakes_first:
            return False
        return self.residency.tiers.get(transaction.from_model or "") == "awake"

    # ---------------------------------------------------------------- hotswaps

    def _command(self, asked: ev.SwapAsked, now: float) -> list[fx.Effect]:
        answered = self.commands.answer(asked, self.awake)
        if answered is not None:
            return answered
        obeyed = self.commands.obey(asked)
        self._keep_ready()
        return [obeyed, *self._begin(asked.command.model, asked, now)]

    def _switch(self, asked: ev.SwitchAsked, now: float) -> list[fx.Effect]:
        """Another model of the grant; at once or not at all, plans go first."""
        swapping = self.transaction is not None or self._ending
        refused = self.commands.refuse_switch(asked, self.awake, swapping=swapping)
        if refused is not None:
            return [fx.Answer(asked.ticket, None, refused)]
        return self._begin(asked.command.model, asked, now)

    def _keep_ready(self) -> None:
        """What the host may switch to is kept ready before all others, then the standbys."""
        grant = self.commands.obeyed.granted
        self.residency.want((*(grant if len(grant) > 1 else ()), *self._standbys))

    def _begin(
        self, model: str, asked: ev.SwapAsked | ev.SwitchAsked | None, now: float
    ) -> list[fx.Effect]:
        """Start a transaction: fence now, or once the new model is awake where both fit.

        Weights that are not on disk are fetched before either.
        """
        self._steps += 100
        transaction = Transaction(
            to_model=model,
            from_model=self.awake,
            from_tier=self.residency.tiers[model],
            began_at=now,
            command=asked.command if asked else None,
            plan_id=self.commands.plan_of(asked),
            ticket=asked.ticket if asked else None,
            wakes_first=self.awake is not None and self.residency.fits_beside(model, self.awake),
        )
        self.transaction = transaction
        step = transaction.begin(self._steps, now)
        return [step] if step is not None else self._fence(transaction, now)

    def _fence(self, transaction: Transaction, now: float) -> list[fx.Effect]:
        """Take nothing more for the old model and hand back; where both fit, the new one serves."""
        if not transaction.wakes_first:
            transaction.gap_began_at = now
            self.phase = "swapping" if transaction.command else "starting"
            self.failure, self.awake = None, None
        return self._hand_back(transaction, now)

    def _step_done(
        self, transaction: Transaction, error: str | None, now: float
    ) -> list[fx.Effect]:
        # The engine under check may have died after its last token.
        error = error or transaction.checked_lost
        if transaction.phase == "wake" and error is None:
            from_tier = "disk" if "fetch" in transaction.phases_s else transaction.from_tier
            took_s = now - transaction.phase_began_at
            self.residency.brought_back(transaction.to_model, from_tier, took_s)
        changed = transaction.tier_changed(error)
        if changed is not None:
            self.residency.set_tier(*changed)
        step = transaction.advance(error, now)
        if step is not None:
            return [self._bounded(step, transaction)]
        if transaction.outcome is None:
            return self._fence(transaction, now)
        return self._ended(transaction, now)

    def _bounded(self, step: fx.Effect, transaction: Transaction) -> fx.Effect:
        """The step with the memory that its engine may hold when it is done.

        Where there is nothing to go back to, what was checked serves, whatever it holds.
        """
        match step:
            case fx.Sleep(_, model):
                return replace(step, at_most_bytes=self.residency.most_idle_bytes(model, "asleep"))
            case fx.Check(_, model) if transaction.phase == "canary" and transaction.from_model:
                beside = transaction.from_model if transaction.old_serves else None
                at_most = self.residency.most_awake_bytes(model, beside)
                return replace(step, at_most_bytes=at_most)
        return step

    def _ended(self, transaction: Transaction, now: float) -> list[fx.Effect]:
        self.transaction = None
        if transaction.from_model is not None and transaction.outcome == "committed":
            self.residency.swapped(transaction.rest_s)
        effects: list[fx.Effect] = []
        if transaction.switched:
            # It serves since the switch, unless its engine has died meanwhile.
            effects = [] if self.awake is not None else [fx.RetryTimer(0.0)]
        elif (model := transaction.awake_after) is not None:
            self._serve(model)
        else:
            effects = self._failed(transaction)
        return effects + self.commands.reported(transaction, now)

    def _serve(self, model: str) -> None:
        """From here on `model` admits."""
        self.awake, self.phase, self._home, self._retries = model, "serving", model, 0
        self.failure = None
        self.admission.serve(self._caps.place(model))

    def _failed(self, transaction: Transaction) -> list[fx.Effect]:
        self.awake, self.phase, self.failure = None, "failed", transaction.error
        self._home = self._home or transaction.to_model
        delay_s = _RETRY_DELAYS_S[min(self._retries, len(_RETRY_DELAYS_S) - 1)]
        self._retries += 1
        return [fx.RetryTimer(delay_s)]

    # ---------------------------------------------------------------- recovery

    def _retry(self, now: float) -> list[fx.Effect]:
        if self.phase != "failed" or self._home is None or self.transaction is not None:
            return []
        return self._begin(self._home, None, now)

    def _engine_lost(self, event: ev.EngineLost, now: float) -> list[fx.Effect]:
        # A transaction that uses this engine learns of it by its step's failure.
        self.residency.set_tier(event.model, "disk")
        frame = Failed(f"the engine of {event.model} died: {event.reason}", retryable=True)
        transaction = self.transaction
        if transaction is not None:
            transaction.lose(event.model, event.reason)
        if event.model != self.awake:
            replaced = transaction is not None and event.model == transaction.from_model
            return self.generations.halt_leaving(frame) if replaced else []
        effects = self.generations.close_waiting(HandedBack("not_awake"))
        effects += self.generations.halt_running(frame)
        if transaction is not None and not transaction.switched:
            # Its successor is on the way already.
            effects += self.generations.leave()
            transaction.old_lost, transaction.gap_began_at = True, now
            self.awake, self.phase = None, "swapping"
            return effects
        self.awake, self.phase, self.failure = None, "failed", event.reason
        return effects if transaction is not None else [*effects, fx.RetryTimer(0.0)]
