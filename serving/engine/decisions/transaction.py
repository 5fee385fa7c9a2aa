"""The hotswap transaction: one step at a time, committed, or rolled back to the old model.

    hand_back -> sleep -> wake -> canary -> committed
                            |       |
                            +-------+-> stop -> rollback_wake -> rollback_canary -> rolled back
                                                      |                |
                                                      +----------------+-> rollback_stop -> failed

A start (no old model) is the same without the first two steps. Where both models fit the new one
wakes first, and the old one serves until it has passed its canary:

    wake -> canary -> hand_back -> sleep -> committed
      |       |
      +-------+-> stop -> rolled back, or cancelled

Until then it can be cancelled: the new one is then put back to sleep when its step has ended.

    wake, canary -> put_back -> cancelled

Weights that are not on disk are fetched before anything else, while the old model serves:

    fetch -> hand_back, or wake where both fit
      |
      +-> rolled back, or cancelled

Pure: `begin` and `advance` give the next step; who performs it reports back with its number.
"""

from dataclasses import dataclass, field
from typing import Literal

from serving.engine.decisions.effects import Check, Effect, Fetch, Sleep, Stop, Wake
from serving.wire import SwapCommand, SwapOutcome, SwapPolicy, SwapReport, SwitchCommand, Tier

Phase = Literal[
    "fetch",
    "hand_back",
    "sleep",
    "stop_old",
    "wake",
    "canary",
    "put_back",
    "stop",
    "rollback_wake",
    "rollback_canary",
    "rollback_stop",
]


@dataclass
class Transaction:
    """One change of the awake model in progress. `command` is None for a start of the host's."""

    to_model: str
    from_model: str | None
    from_tier: Tier
    began_at: float
    command: SwapCommand | SwitchCommand | None = None
    plan_id: int = 0
    """The plan that asked for the hotswap, or within whose grant it is."""
    ticket: int | None = None
    wakes_first: bool = False
    """The old model serves until the new one is awake and checked."""
    old_lost: bool = False
    """The old engine died before the switch."""
    cancelled: bool = False
    """Nobody needs it any more; holds as long as the old model serves."""
    checked_lost: str | None = None
    """Why the engine under check died."""
    handed_back: int = 0
    phase: Phase = "hand_back"
    step: int = 0
    error: str | None = None
    outcome: SwapOutcome | None = None
    phases_s: dict[str, float] = field(default_factory=dict)
    phase_began_at: float = 0.0
    gap_began_at: float | None = None
    """Since when no awake model admits; None while one does."""

    def begin(self, step: int, now: float) -> Effect | None:
        """Enter the first phase, number `step` on this host: its step, or None to hand back."""
        self.step, self.phase_began_at = step, now
        if self.from_tier == "absent" and self.from_model is not None:
            self.phase = "fetch"
            return Fetch(step, self.to_model)
        if not self.wakes_first:
            return None
        self.phase = "wake"
        return Wake(step, self.to_model)

    def lose(self, model: str, reason: str) -> None:
        """An engine died. If it is the one being checked, its canary counts for nothing."""
        checked = {"canary": self.to_model, "rollback_canary": self.from_model}
        if checked.get(self.phase) == model:
            self.checked_lost = reason

    def cancel(self) -> bool:
        """Do not switch; False: the old model is fenced, or gone, and this must be carried out."""
        if not self.old_serves:
            return False
        self.cancelled = True
        return True

    @property
    def policy(self) -> SwapPolicy:
        """How generations leave the old model."""
        return self.command.policy if self.command else "hand_back"

    @property
    def drain_s(self) -> float | None:
        """How long what stays on the old model may take; None: the host's own time."""
        return self.command.drain_s if isinstance(self.command, SwapCommand) else None

    def carries_out(self, plan_id: int) -> bool:
        """Whether this is the hotswap that this very plan asked for."""
        return isinstance(self.command, SwapCommand) and self.plan_id == plan_id

    @property
    def old_serves(self) -> bool:
        """Whether the old model still admits."""
        ahead = self.wakes_first or self.phase == "fetch"
        return ahead and not self.old_lost and not self.switched

    @property
    def switched(self) -> bool:
        """Whether the new model took over while the old one was still awake."""
        return (
            self.wakes_first and not self.old_lost and "hand_back" in (self.phase, *self.phases_s)
        )

    def advance(self, error: str | None, now: float) -> Effect | None:
        """The phase ended, with or without `error`: the next step.

        None when all is over (there is an outcome), or when the host is to hand back.
        """
        self.phases_s[self.phase] = self.phases_s.get(self.phase, 0.0) + now - self.phase_began_at
        self.phase_began_at, self.checked_lost = now, None
        self.step += 1
        if error is not None:
            self._note(error)
        return self._next(failed=error is not None)

    def _note(self, error: str) -> None:
        if self.phase == "sleep":
            self.error = f"sleep of {self.from_model} failed: {error}; its engine was stopped"
        elif self.phase in ("fetch", "wake", "canary", "put_back"):
            self.error = f"{self.phase} of {self.to_model} failed: {error}"
        elif self.phase in ("rollback_wake", "rollback_canary"):
            self.error = f"{self.error}; then {self.phase} of {self.from_model} failed: {error}"

    def _next(self, *, failed: bool) -> Effect | None:  # noqa: C901 - one arm a transition
        match self.phase:
            case "fetch" if self.old_serves and self.cancelled:
                self.outcome = "cancelled"
            case "fetch" if self.old_serves and failed:
                self.outcome = "rolled_back"
            case "fetch" if self.old_serves and not self.wakes_first:
                self.phase = "hand_back"
            case "fetch" if failed and self.from_model is not None:
                self.phase = "rollback_wake"
                return Wake(self.step, self.from_model)
            case "fetch":
                self.phase = "wake"
                return Wake(self.step, self.to_model)
            case "hand_back" if self.from_model is not None:
                self.phase = "sleep"
                return Sleep(self.step, self.from_model, 1)
            case "sleep" if failed and self.from_model is not None:
                # It cannot be trusted to have freed its memory; the new model does not mind.
                self.phase = "stop_old"
                return Stop(self.step, self.from_model)
            case "sleep" | "stop_old" if self.wakes_first:
                self.outcome = "committed"
            case "hand_back" | "sleep" | "stop_old":
                self.phase = "wake"
                return Wake(self.step, self.to_model)
            case "wake" | "canary" if not failed and self.cancelled and self.old_serves:
                self.phase = "put_back"
                return Sleep(self.step, self.to_model, 1)
            case "wake" if not failed:
                self.phase = "canary"
                return Check(self.step, self.to_model)
            case "canary" if not failed and self.old_serves:
                self.phase = "hand_back"
            case "canary" if not failed:
                self.outcome = "committed"
            case "put_back" if not failed and self.old_serves:
                self.outcome = "cancelled"
            case "put_back" if not failed and self.from_model is not None:
                self.phase = "rollback_wake"
                return Wake(self.step, self.from_model)
            case "wake" | "canary" | "put_back":
                self.phase = "stop"
                return Stop(self.step, self.to_model)
            case "stop" if self.old_serves:
                self.outcome = "cancelled" if self.cancelled else "rolled_back"
            case "stop" if self.from_model is not None:
                self.phase = "rollback_wake"
                return Wake(self.step, self.from_model)
            case "rollback_wake" if self.from_model is not None and not failed:
                self.phase = "rollback_canary"
                return Check(self.step, self.from_model)
            case "rollback_canary" if not failed:
                self.outcome = "rolled_back"
            case "rollback_wake" | "rollback_canary" if self.from_model is not None:
                self.phase = "rollback_stop"
                return Stop(self.step, self.from_model)
            case _:
                self.outcome = "failed"
        return None

    def tier_changed(self, error: str | None) -> tuple[str, Tier] | None:
        """The model whose tier the phase that ends now has changed, and where it is."""
        old, new = self.from_model, self.to_model
        match self.phase:
            case "sleep" if old is not None and error is None:
                return old, "asleep"
            case "stop_old" | "rollback_stop" if old is not None:
                return old, "disk"
            case "wake" if error is None:
                return new, "awake"
            case "put_back" if error is None:
                return new, "asleep"
            case "stop":
                return new, "disk"
            case "rollback_wake" if old is not None:
                return old, "awake" if error is None else "disk"
        return None

    @property
    def awake_after(self) -> str | None:
        """The model that is awake now that the transaction is over."""
        match self.outcome:
            case "committed":
                return self.to_model
            case "rolled_back" | "cancelled":
                return self.from_model
            case _:
                return None

    @property
    def rest_s(self) -> float:
        """How long the phases took in which the new model was neither fetched nor woken."""
        return sum(s for phase, s in self.phases_s.items() if phase not in ("fetch", "wake"))

    def report(self, host: str, now: float) -> SwapReport:
        """What happened, once it is over. Only for a transaction with a command."""
        assert self.command is not None
        assert self.outcome is not None
        return SwapReport(
            host=host,
            plan_id=self.plan_id,
            kind="switch" if isinstance(self.command, SwitchCommand) else "planned",
            from_model=self.from_model,
            to_model=self.to_model,
            outcome=self.outcome,
            from_tier=self.from_tier,
            total_s=now - self.began_at,
            phases_s=self.phases_s,
            handed_back=self.handed_back,
            service_gap_s=0.0 if self.gap_began_at is None else now - self.gap_began_at,
            error=self.error,
        )
