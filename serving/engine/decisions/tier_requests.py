"""Prefetch and demote: tiers that somebody asked for, brought about one after the other.

What moves by itself, for want of memory or to prewarm, is decided in `residency`; both kinds are
the same `Move`, one at a time.
"""

from collections import deque
from dataclasses import dataclass

from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.engine.decisions.residency import HEIGHT, Residency
from serving.wire import Tier, TierMove, TierReport


@dataclass(frozen=True)
class _Current:
    asked: ev.TierAsked
    from_tier: Tier


class TierRequests:
    """The tiers asked for that are not reached yet."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._waiting: deque[ev.TierAsked] = deque()
        self._current: _Current | None = None

    def ask(self, asked: ev.TierAsked) -> None:
        """Let a request wait for its turn."""
        self._waiting.append(asked)

    def wanted(self) -> list[TierMove]:
        """What waits for its turn."""
        return [TierMove(asked.model, asked.tier) for asked in self._waiting]

    def next_move(self, residency: Residency, now: float) -> list[fx.Effect]:
        """Answer what needs no work or cannot be; the move whose turn it is, if there is one."""
        effects: list[fx.Effect] = []
        while self._waiting:
            asked = self._waiting.popleft()
            from_tier = residency.tiers.get(asked.model, "absent")
            refused = _refusal(asked, from_tier, residency)
            if refused is not None:
                effects.append(fx.Answer(asked.ticket, None, refused))
            elif from_tier == asked.tier:
                report = self._report(asked, from_tier, asked.tier, 0.0, None)
                effects.append(fx.Answer(asked.ticket, report))
            else:
                self._current = _Current(asked, from_tier)
                return [*effects, residency.begin(asked.model, asked.tier, now)]
        return effects

    def moved(self, event: ev.Moved, now: float) -> list[fx.Effect]:
        """A move has ended: answer who asked for it, if somebody did."""
        current = self._current
        if current is None or current.asked.model != event.model:
            return []
        self._current = None
        asked, took_s = current.asked, now - current.asked.asked_at
        report = self._report(asked, current.from_tier, event.tier, took_s, event.error)
        return [fx.Answer(asked.ticket, report)]

    def refuse_all(self, why: str) -> list[fx.Effect]:
        """Answer everyone: nothing will be done any more."""
        tickets = [asked.ticket for asked in self._waiting]
        if self._current is not None:
            tickets.append(self._current.asked.ticket)
        self._waiting.clear()
        self._current = None
        return [fx.Answer(ticket, None, why) for ticket in tickets]

    def _report(
        self, asked: ev.TierAsked, from_tier: Tier, tier: Tier, total_s: float, error: str | None
    ) -> TierReport:
        return TierReport(
            host=self._host,
            model=asked.model,
            from_tier=from_tier,
            tier=tier,
            total_s=total_s,
            error=error,
        )


def _refusal(asked: ev.TierAsked, from_tier: Tier, residency: Residency) -> str | None:
    if asked.model not in residency.tiers:
        return f"there is no model {asked.model!r} in this host's registry"
    if from_tier == "awake":
        return f"{asked.model} is awake: only a hotswap can change its tier"
    loads = asked.tier != "disk" and HEIGHT[asked.tier] > HEIGHT[from_tier]
    return residency.shortage(asked.model) if loads else None
