"""Residency: the tier of every model on this host, and the next one to change in the background.

The models that are not awake share the host's memory budget. Beyond it the least recently awake
one is parked, and when all are parked, stopped. Within it, models on disk are brought to `asleep`
one at a time, so that the first hotswap to them takes seconds.
"""

from collections.abc import Iterable, Mapping

from serving.engine.decisions.device import DeviceBudget
from serving.engine.decisions.events import Move
from serving.engine.protocol import DeviceMemory
from serving.wire import Tier, TierMove


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
    ) -> None:
        """`device_bytes` bounds two awake models; None: they share `budget_bytes` with the rest.

        With `device`, memory of the accelerator's own, that bounds them instead, and the awake
        engine's share of host RAM counts too: there it has no weights, but pinned memory for them.
        """
        self.tiers: dict[str, Tier] = dict.fromkeys(models, "disk")
        self.memory_bytes: dict[str, int] = {}
        self.moving: TierMove | None = None
        """The model whose tier is being changed in the background."""
        self.prewarm = False
        """Whether models on disk may be brought to `asleep`."""
        self.changes = 0
        """Counts changes of a tier, so that a measurement can say which tiers it saw."""
        self._budget_bytes = budget_bytes
        self._device_bytes = device_bytes
        self.device = device
        """The accelerator's own memory, where it has some."""
        self._kv_cache_bytes = dict(kv_cache_bytes or {})
        self._loaded_bytes: dict[str, int] = {}
        """What each model holds when it is awake, its whole KV cache counted."""
        self._order: list[str] = list(self.tiers)[::-1]
        self._left_on_disk: set[str] = set()
        self._measured = True

    def set_tier(self, model: str, tier: Tier) -> None:
        """Record where `model` is now."""
        if tier == "awake":
            self._order.remove(model)
            self._order.append(model)
            self._left_on_disk.discard(model)
        if tier != self.tiers[model]:
            self._measured = False
            self.changes += 1
        self.tiers[model] = tier

    def leave_on_disk(self, model: str) -> None:
        """Do not prewarm `model` before it has been awake again: it failed, or does not fit."""
        self._left_on_disk.add(model)

    def measured(
        self,
        memory_bytes: dict[str, int],
        changes: int | None = None,
        on_device: Mapping[str, DeviceMemory] | None = None,
    ) -> None:
        """Take over what the engines hold, unless a tier has changed since `changes`."""
        if changes not in (None, self.changes):
            return
        if self.device is not None:
            self.device.measured(on_device or {})
        self.memory_bytes = dict(memory_bytes)
        self._measured = True
        for model, size in memory_bytes.items():
            asleep_bytes = size + self._kv_cache_bytes.get(model, 0)
            if self.tiers[model] == "asleep":
                self._loaded_bytes[model] = asleep_bytes
            elif self.tiers[model] == "awake":
                # Of its KV cache, what was never used is not resident: count the whole of it.
                known = self._loaded_bytes.get(model, asleep_bytes)
                self._loaded_bytes[model] = max(known, size)

    def fits_beside(self, new: str, awake: str) -> bool:
        """Whether both may be awake at once. What was never measured does not fit."""
        if self.moving is not None:
            return False
        if self.device is not None:
            return self.device.fits(new)
        both = [self._loaded_bytes.get(model) for model in (new, awake)]
        if self._device_bytes is not None:
            return _within(self._device_bytes, both)
        others = [self._loaded_bytes.get(m) for m in self._idle("asleep") if m != new]
        parked = [self.memory_bytes.get(m) for m in self._idle("parked") if m != new]
        return _within(self._budget_bytes, both + others + parked)

    def shortage(self, model: str) -> str | None:
        """Why `model` cannot be loaded beside the others; None: there is room."""
        if self.device is not None and (short := self.device.shortage(model)) is not None:
            return short
        needed, free = self._expected_bytes(model), self._budget_bytes - self._held_bytes(model)
        if needed <= free:
            return None
        return (
            f"{model} needs {_gib(needed)} to load, "
            f"{_gib(max(free, 0))} of {_gib(self._budget_bytes)} are free"
        )

    @property
    def may_move(self) -> bool:
        """Whether a move may begin: one at a time, and on measured memory only."""
        return self.moving is None and self._measured

    def begin(self, move: Move) -> Move:
        """A move somebody asked for begins. What was sent to disk is not prewarmed again."""
        self.moving = TierMove(move.model, move.tier)
        if move.tier == "disk":
            self.leave_on_disk(move.model)
        return move

    def demotion(self) -> Move | None:
        """The model that must give way now, because memory is short."""
        move = self._demotion() if self.may_move else None
        return self.begin(move) if move else None

    def next_move(self, *, busy: bool) -> Move | None:
        """The background change that is due, if one is; `busy` postpones what is not pressing.

        Nothing is decided on tiers whose memory was not measured since they changed.
        """
        if not self.may_move:
            return None
        move = self._demotion() or (None if busy else self._prewarming())
        return self.begin(move) if move else None

    def _idle(self, tier: Tier) -> list[str]:
        return [model for model in self._order if self.tiers[model] == tier]

    def _held_bytes(self, besides: str | None = None) -> int:
        idle = self._idle("asleep") + self._idle("parked")
        if self.device is not None:
            idle += self._idle("awake")
        return sum(self.memory_bytes.get(model, 0) for model in idle if model != besides)

    def _expected_bytes(self, model: str) -> int:
        """What `model` holds while it is loaded, with its KV cache for the canary.

        A model never loaded is taken to be as large as the largest one known.
        """
        known = self._loaded_bytes.get(model)
        if known is not None:
            return known
        return max([*self.memory_bytes.values(), *self._loaded_bytes.values()], default=0)

    def _demotion(self) -> Move | None:
        if self.device is not None and self.device.over():
            # Parked, it would hold no less of the device.
            for model in self._idle("parked") + self._idle("asleep"):
                return Move(model, "disk")
        if self._held_bytes() <= self._budget_bytes:
            return None
        for model in self._idle("asleep"):
            return Move(model, "parked")
        for model in self._idle("parked"):
            return Move(model, "disk")
        return None

    def _prewarming(self) -> Move | None:
        if not self.prewarm:
            return None
        for model in reversed(self._idle("disk")):
            if model not in self._left_on_disk and self.shortage(model) is None:
                return Move(model, "asleep")
        return None


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 1024**3:.2f} GiB"


def _within(budget_bytes: int, sizes: Iterable[int | None]) -> bool:
    """Whether all sizes are known and fit together."""
    total_bytes = 0
    for size in sizes:
        if size is None:
            return False
        total_bytes += size
    return total_bytes <= budget_bytes
