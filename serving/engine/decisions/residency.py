"""Residency: the tier of every model on this host, and the next one to change in the background.

The models that are not awake share the host's memory budget. Beyond it somebody gives way
(`giving_way`): an asleep model is parked, a parked one stopped. Within it, standbys are brought to
`asleep` first, then models on disk, one at a time, so that the first hotswap to them takes seconds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from serving.engine.decisions.bring_back import BringBack
from serving.engine.decisions.device import DeviceBudget
from serving.engine.decisions.effects import Move
from serving.engine.decisions.giving_way import GivingWay, StepDown
from serving.engine.decisions.holdings import Holdings, gib
from serving.engine.protocol import DeviceMemory
from serving.wire import IdleTier, Tier, TierMove

HEIGHT: dict[Tier, int] = {"absent": 0, "disk": 1, "parked": 2, "asleep": 3, "awake": 4}
"""The tiers, from the lowest up."""
_DOWNWARD: tuple[Tier, ...] = ("asleep", "parked", "disk")


class Residency:
    """Tiers and measured memory of a host's models, least recently awake first."""

    def __init__(
        self,
        models: Iterable[str],
        *,
        budget_bytes: int,
        device_bytes: int | None = 0,
        kv_cache_bytes: Mapping[str, int] | None = None,
        device: DeviceBudget | None = None,
        standbys: Sequence[str] = (),
    ) -> None:
        """`device_bytes` bounds two awake models; None: they share `budget_bytes` with the rest.

        With `device`, memory of the accelerator's own, that bounds them instead, and the awake
        engine's share of host RAM counts too: there it has no weights, but pinned memory for them.
        """
        self.tiers: dict[str, Tier] = dict.fromkeys(models, "disk")
        self.moving: TierMove | None = None
        """The model whose tier is being changed in the background."""
        self.prewarm = False
        """Whether models may be brought to `asleep` without being asked for."""
        self.changes = 0
        """Counts changes of a tier, so that a measurement can say which tiers it saw."""
        self._budget_bytes = budget_bytes
        self._device_bytes = device_bytes
        self.device = device
        """The accelerator's own memory, where it has some."""
        self._holdings = Holdings(kv_cache_bytes or {})
        self._bring_back = BringBack()
        self._giving_way = GivingWay(standbys)
        self._order: list[str] = list(self.tiers)[::-1]
        self._left: set[str] = set()
        self._measured = True
        self._came_from: tuple[Tier, float] = ("disk", 0.0)
        """Where the model that moves was, and since when it moves."""

    @property
    def memory_bytes(self) -> dict[str, int]:
        """What each engine with a process held when it was last measured."""
        return self._holdings.now_bytes

    @property
    def standbys(self) -> tuple[str, ...]:
        """The models to keep ready before all others, first one first."""
        return self._giving_way.standbys

    def want(self, standbys: Sequence[str]) -> None:
        """Keep these ready before all others. One that is newly wanted gets another chance."""
        known = tuple(model for model in dict.fromkeys(standbys) if model in self.tiers)
        self._left -= set(known) - set(self.standbys)
        self._giving_way.standbys = known

    def set_tier(self, model: str, tier: Tier) -> None:
        """Record where `model` is now."""
        if tier == "awake":
            self._order.remove(model)
            self._order.append(model)
            self._left.discard(model)
            self._giving_way.awake(model)
        if tier != self.tiers[model]:
            self._measured = False
            self.changes += 1
        self.tiers[model] = tier

    def weights_seen(self, present: frozenset[str]) -> None:
        """Of the models without a process, those in `present` have weights on disk."""
        for model, tier in self.tiers.items():
            if tier in ("disk", "absent"):
                self.tiers[model] = "disk" if model in present else "absent"

    def leave(self, model: str) -> None:
        """Do not bring `model` up before it has been awake again: it failed, or does not fit."""
        self._left.add(model)

    def measured(
        self,
        memory_bytes: dict[str, int],
        changes: int | None = None,
        on_device: Mapping[str, DeviceMemory] | None = None,
    ) -> None:
        """Take over what the engines hold, unless a tier has changed since `changes`."""
        if changes not in (None, self.changes):
            return
        self._measured = True
        self._holdings.measured(memory_bytes, self.tiers)
        if self.device is not None:
            self.device.measured(on_device or {})

    def brought_back(self, model: str, tier: Tier, took_s: float) -> None:
        """`model` was loaded from `tier`: learn how long that takes here, if its size is known."""
        size = self._holdings.asleep_bytes(model)
        if size is not None:
            self._bring_back.took(tier, size, took_s)

    def swapped(self, rest_s: float) -> None:
        """A hotswap took this long beside waking its model."""
        self._bring_back.swapped(rest_s)

    def hotswap_s(self, model: str) -> float:
        """How long a hotswap to `model` will take; of the awake one, as if it were asleep."""
        tier: Tier = "asleep" if self.tiers[model] == "awake" else self.tiers[model]
        size = self._holdings.asleep_bytes(model) or self._holdings.loading_bytes(model)
        return self._bring_back.hotswap_s(tier, size)

    def moved(self, model: str, tier: Tier, error: str | None, now: float) -> None:
        """The move has ended, in `tier`."""
        from_tier, began_at = self._came_from
        self.moving = None
        if error is not None:
            self.leave(model)
        elif HEIGHT[tier] > max(HEIGHT[from_tier], HEIGHT["disk"]):
            self.brought_back(model, from_tier, now - began_at)
        # A hotswap that waited for the move may have woken the model already.
        if self.tiers[model] != "awake":
            self.set_tier(model, tier)

    # ---------------------------------------------------------------- what fits

    def fits_beside(self, new: str, awake: str) -> bool:
        """Whether both may be awake at once. What was never measured does not fit."""
        if self.moving is not None:
            return False
        if self.device is not None:
            return self.device.fits(new)
        needed, room = self._holdings.loaded_bytes(new), self._room_beside(new, awake)
        return needed is not None and room is not None and needed <= room

    def most_awake_bytes(self, model: str, beside: str | None) -> int | None:
        """What `model` may hold when it has woken; beside an awake one, what that one leaves.

        Of host RAM nothing is expected where weights move to a device and back.
        """
        if self.device is not None:
            return None
        expected = self._holdings.most_awake_bytes(model)
        room = None if beside is None else self._room_beside(model, beside)
        return _least(expected, room)

    def most_idle_bytes(self, model: str, tier: Tier) -> int | None:
        """What `model` may hold when it was put to `tier`; None: not known, as with a device."""
        if self.device is not None:
            return None
        return self._holdings.most_idle_bytes(model, tier)

    def shortage(self, model: str) -> str | None:
        """Why `model` cannot be loaded beside the others; None: there is room."""
        if self.device is not None and (short := self.device.shortage(model)) is not None:
            return short
        needed = self._holdings.loading_bytes(model)
        free = self._budget_bytes - self._held_bytes(model)
        if needed <= free:
            return None
        return (
            f"{model} needs {gib(needed)} to load, "
            f"{gib(max(free, 0))} of {gib(self._budget_bytes)} are free"
        )

    def _room_beside(self, new: str, awake: str) -> int | None:
        """What is left for `new` while `awake` is awake too; None: not everything is known."""
        loaded = self._holdings.loaded_bytes
        if self._device_bytes is not None:
            return _left_of(self._device_bytes, [loaded(awake)])
        others = [loaded(model) for model in self._idle("asleep") if model != new]
        parked = [self.memory_bytes.get(m) for m in self._idle("parked") if m != new]
        return _left_of(self._budget_bytes, [loaded(awake), *others, *parked])

    def _held_bytes(self, besides: str | None = None) -> int:
        counted = self._idle("asleep", "parked")
        if self.device is not None:
            counted += self._idle("awake")
        return sum(self.memory_bytes.get(model, 0) for model in counted if model != besides)

    # ---------------------------------------------------------------- what moves

    @property
    def may_move(self) -> bool:
        """Whether a move may begin: one at a time, and on measured memory only."""
        return self.moving is None and self._measured

    def begin(self, model: str, tier: IdleTier, now: float) -> Move:
        """A move begins. What is sent to disk is not brought up again by itself."""
        self.moving, self._came_from = TierMove(model, tier), (self.tiers[model], now)
        if tier == "disk":
            self.leave(model)
        at_most = self.most_idle_bytes(model, tier)
        if tier == "asleep":
            at_most = _least(at_most, self._budget_bytes - self._held_bytes(model))
        return Move(model, tier, None if tier == "disk" else at_most)

    def demotion(self, now: float) -> Move | None:
        """The model that must give way now, because memory is short."""
        return self._demotion(now) if self.may_move else None

    def next_move(self, *, busy: bool, now: float) -> Move | None:
        """The background change that is due, if one is; `busy` postpones what is not pressing.

        Nothing is decided on tiers whose memory was not measured since they changed.
        """
        if not self.may_move:
            return None
        return self._demotion(now) or (None if busy else self._promotion(now))

    def _demotion(self, now: float) -> Move | None:
        if self.device is not None and self.device.over():
            return self._off_the_device(now)
        if self._held_bytes() <= self._budget_bytes:
            return None
        return self._step_down(self._steps_down(), now)

    def _off_the_device(self, now: float) -> Move | None:
        """The idle engine whose process must end; parked, it would hold no less of the device."""
        idle = self._idle("parked", "asleep")
        lowest = min(idle, key=self._giving_way.protection, default=None)
        return None if lowest is None else self.begin(lowest, "disk", now)

    def _step_down(self, steps: Iterable[StepDown], now: float) -> Move | None:
        step = self._giving_way.first(steps)
        if step is None:
            return None
        self._giving_way.gave_way(step)
        return self.begin(step.move.model, step.move.tier, now)

    def _steps_down(self) -> Iterator[StepDown]:
        """Every model's next step down, least recently awake first."""
        for model in self._order:
            if self.tiers[model] not in ("asleep", "parked"):
                continue
            size = self._holdings.asleep_bytes(model) or self._holdings.loading_bytes(model)
            wait_s = {tier: self._bring_back.expected_s(tier, size) for tier in _DOWNWARD}
            if self.tiers[model] == "asleep":
                frees, further_s = self._holdings.parking_frees(model), wait_s["parked"]
                further_s -= wait_s["asleep"]
                yield StepDown(Move(model, "parked"), frees, max(further_s, 0.0))
            else:
                further_s = wait_s["disk"] - wait_s["parked"]
                frees = self.memory_bytes.get(model, 0)
                yield StepDown(Move(model, "disk"), frees, max(further_s, 0.0))

    def _promotion(self, now: float) -> Move | None:
        """Standbys in their order, from wherever they are; then what is on disk."""
        if not self.prewarm:
            return None
        low = [m for m in self.standbys if self.tiers[m] in ("parked", "disk", "absent")]
        rest = [m for m in reversed(self._idle("disk")) if m not in self.standbys]
        for model in [*low, *rest]:
            if model in self._left:
                continue
            if self.shortage(model) is None:
                return self.begin(model, "asleep", now)
            if (way := self._way_for(model, now)) is not None:
                return way
        return None

    def _way_for(self, model: str, now: float) -> Move | None:
        """A step down that helps to make room for a standby, if less protected ones can make it."""
        protection = self._giving_way.protection(model)
        lesser = [
            other
            for other in self._idle("asleep", "parked")
            if self._giving_way.protection(other) < protection
        ]
        kept = self._held_bytes(model) - sum(self.memory_bytes.get(m, 0) for m in lesser)
        room = self._budget_bytes - kept
        short_of_device = self.device is not None and self.device.shortage(model) is not None
        if short_of_device or self._holdings.loading_bytes(model) > room:
            return None
        steps = (step for step in self._steps_down() if step.move.model in lesser)
        return self._step_down(steps, now)

    def _idle(self, *tiers: Tier) -> list[str]:
        """Models in these tiers, tier by tier, least recently awake first."""
        return [model for tier in tiers for model in self._order if self.tiers[model] == tier]


def _least(*bounds: int | None) -> int | None:
    """The least of the bounds that there are."""
    return min((bound for bound in bounds if bound is not None), default=None)


def _left_of(budget_bytes: int, sizes: Iterable[int | None]) -> int | None:
    """What these leave of the budget; None if one of them is not known."""
    total_bytes = 0
    for size in sizes:
        if size is None:
            return None
        total_bytes += size
    return budget_bytes - total_bytes
