"""When to ask for an allocation run, and when to tell of assets and record a look. Pure.

The sensor's memory between ticks is `Cursor`: what was asked for last, and what was told last.
"""

import hashlib
import re

import msgspec

from orchestration.allocation.plan import Plan

REPEAT_AFTER_S = 5.0
REPEAT_AT_MOST_S = 300.0
TELL_EVERY_S = 30.0
RECORD_AT_MOST_EVERY_S = 5.0
RECORD_AT_LEAST_EVERY_S = 60.0
"""An evaluation is recorded this often although nothing is new: it shows that somebody looks."""

_NUMBER = re.compile(r"\d+(\.\d+)?")


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """What the sensor remembers."""

    asked_for: str = ""
    """The situation asked about last."""
    asked_at: float = 0.0
    times: int = 0
    """How often in a row it was asked about."""
    told: str = ""
    """The serving state observed last."""
    told_at: float = 0.0
    recorded: str = ""
    """The evaluation recorded last."""
    recorded_at: float = 0.0
    weights: tuple[str, ...] = ()
    """Checkpoints whose being there was reported."""

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """The cursor in `text`; a fresh one if there is none, or it is of another version."""
        try:
            return msgspec.json.decode(text or "", type=cls)
        except msgspec.DecodeError:
            return cls()

    def text(self) -> str:
        """For Dagster to keep."""
        return msgspec.json.encode(self).decode()


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What the planner would do now, and how the fleet differs from the last plan."""

    plan: Plan
    drift: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Equal for situations that ask for the same; empty if nothing is to be asked for."""
        moves = [f"{move.host} to {move.to_model}" for move in self.plan.moves]
        return "; ".join([*moves, *self._regrants(), *self.drift])

    @property
    def trigger(self) -> str:
        """What a run for this answers to, in words."""
        drift = self.drift[:3]
        reasons = [move.reason for move in self.plan.moves[:3]]
        news = [reason for reason in reasons if not any(reason in words for words in drift)]
        return "; ".join([*drift, *news, *self._regrants()[:3]])

    def _regrants(self) -> list[str]:
        """Which hosts may have other models awake from now on without being moved."""
        grants = self.plan.grants
        return [f"{host} is granted {', '.join(grants[host])}" for host in self.plan.regrants]

    @property
    def digest(self) -> str:
        """Equal for situations that differ in the numbers of their reasons only."""
        plan = self.plan
        words = [_NUMBER.sub("#", verdict) for verdict in plan.verdicts.values()]
        overrides = [override.words for override in plan.overrides]
        said = "\n".join([self.fingerprint, str(plan.replicas), *words, *overrides])
        return hashlib.blake2s(said.encode(), digest_size=8).hexdigest()


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a run now."""

    run_key: str
    trigger: str
    cursor: Cursor


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for nothing now, and why."""

    because: str


def decide(
    cursor: Cursor, situation: Situation, *, active_run: str | None, now: float
) -> Ask | Stay:
    """Whether to ask for an allocation run.

    Never beside one that is under way, and not again at once for what a run did not change.
    """
    wanted = situation.fingerprint
    if not wanted:
        return Stay(because=_content(situation.plan))
    if active_run is not None:
        return Stay(because=f"allocation run {active_run} is under way; then: {wanted}")
    repeated = wanted == cursor.asked_for
    times = cursor.times + 1 if repeated else 1
    due = cursor.asked_at + min(REPEAT_AFTER_S * 2 ** (cursor.times - 1), REPEAT_AT_MOST_S)
    if repeated and now < due:
        return Stay(
            because=f"asked {cursor.times} times already, again in {due - now:.0f} s: {wanted}"
        )
    asked = msgspec.structs.replace(cursor, asked_for=wanted, asked_at=now, times=times)
    run_key = f"plan {situation.plan.plan_id}, try {times}: {wanted}"
    return Ask(run_key=run_key, trigger=situation.trigger, cursor=asked)


def should_tell(cursor: Cursor, digest: str, now: float) -> bool:
    """Whether the serving assets are to be observed again."""
    return digest != cursor.told or now - cursor.told_at >= TELL_EVERY_S


def should_record(cursor: Cursor, digest: str, now: float) -> bool:
    """Whether an evaluation that asks for nothing is to be recorded."""
    every_s = RECORD_AT_LEAST_EVERY_S if digest == cursor.recorded else RECORD_AT_MOST_EVERY_S
    return now - cursor.recorded_at >= every_s


def _content(plan: Plan) -> str:
    verdicts = [f"{model} {verdict}" for model, verdict in plan.verdicts.items()]
    overrides = [override.words for override in plan.overrides]
    return "nothing to move. " + ". ".join([*overrides, *verdicts])
