"""Residency: the tier of every model on this host, and the next one to change in the background.

The models that are not awake share the host's memory budget. Beyond it the least recently awake
one is parked, and when all are parked, stopped. Within it, models on disk are brought to `asleep`
one at a time, so that the first hotswap to them takes seconds.
"""

from collections.abc import Iterable, Mapping

from serving.engine.decisions.events import Move
from serving.wire import Tier


class Residency:
    """Tiers and measured memory of a host's models, least recently awake first."""

    def __init__(
        self,
        models: Iterable[str],
        *,
        budget_bytes: int,
        device_bytes: int | None = 0,
        kv_cache_bytes: Mapping[str, int] | None = None,
    ) -> None:
        """`device_bytes` bounds two awake models; None: they share `budget_bytes` with the rest."""
        self.tiers: dict[str, Tier] = dict.fromkeys(models, "disk")
        self.memory_bytes: dict[str, int] = {}
        self.moving: str | None = None
        """The model whose tier is being changed in the background."""
        self.prewarm = False
        """Whether models on disk may be brought to `asleep`."""
        self.changes = 0
        """Counts changes of a tier, so that a measurement can say which tiers it saw."""
        self._budget_bytes = budget_bytes
        self._device_bytes = device_bytes
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

    def measured(self, memory_bytes: dict[str, int], changes: int | None = None) -> None:
        """Take over what the engines hold, unless a tier has changed since `changes`."""
        if changes not in (None, self.changes):
            return
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
        both = [self._loaded_bytes.get(model) for model in (new, awake)]
        if self._device_bytes is not None:
            return _within(self._device_bytes, both)
        others = [self._loaded_bytes.get(m) for m in self._idle("asleep") if m != new]
        parked = [self.memory_bytes.get(m) for m in self._idle("parked") if m != new]
        return _within(self._budget_bytes, both + others + parked)

    def next_move(self, *, busy: bool) -> Move | None:
        """The background change that is due, if one is; `busy` postpones what is not pressing.

        Nothing is decided on tiers whose memory was not measured since they changed.
        """
        if self.moving is not None or not self._measured:
            return None
        move = self._demotion() or (None if busy else self._prewarming())
        if move is not None:
            self.moving = move.model
        return move

    def _idle(self, tier: Tier) -> list[str]:
        return [model for model in self._order if self.tiers[model] == tier]

    def _held_bytes(self) -> int:
        idle = self._idle("asleep") + self._idle("parked")
        return sum(self.memory_bytes.get(model, 0) for model in idle)

    def _demotion(self) -> Move | None:
        if self._held_bytes() <= self._budget_bytes:
            return None
        for model in self._idle("asleep"):
            return Move(model, "parked")
        for model in self._idle("parked"):
            self.leave_on_disk(model)
            return Move(model, "disk")
        return None

    def _prewarming(self) -> Move | None:
        if not self.prewarm:
            return None
        # A model never loaded is taken to be as large as the largest one known.
        expected_bytes = max(self.memory_bytes.values(), default=0)
        if self._held_bytes() + expected_bytes > self._budget_bytes:
            return None
        for model in reversed(self._idle("disk")):
            if model not in self._left_on_disk:
                return Move(model, "asleep")
        return None


def _within(budget_bytes: int, sizes: Iterable[int | None]) -> bool:
    """Whether all sizes are known and fit together."""
    total_bytes = 0
    for size in sizes:
        if size is None:
            return False
        total_bytes += size
    return total_bytes <= budget_bytes
