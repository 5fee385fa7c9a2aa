"""What the engines of a host hold: measured when it can be, expected from what was measured before.

Knows memory only: which model is worth its memory, and what fits a budget, is decided elsewhere.
"""

from collections.abc import Mapping

from serving.wire import Tier

_MIB = 1024**2
TOLERANCE = 0.1
TOLERANCE_BYTES = 256 * _MIB
"""An engine may hold this much more than expected, and `TOLERANCE` of it: pages shared with the
warm process count by share, and engines that share them come and go."""
IDLE_ENGINE_BYTES = 350 * _MIB
"""About what an engine holds beside its weights; taken until a parked one was measured."""


class Holdings:
    """Measured memory of a host's engines, by model."""

    def __init__(self, kv_cache_bytes: Mapping[str, int]) -> None:
        self.now_bytes: dict[str, int] = {}
        """As last measured, of every engine with a process."""
        self._kv_cache_bytes = dict(kv_cache_bytes)
        self._idle: dict[tuple[str, Tier], int] = {}
        self._loaded: dict[str, int] = {}

    def measured(self, memory_bytes: Mapping[str, int], tiers: Mapping[str, Tier]) -> None:
        """Take over what the engines hold in these tiers."""
        self.now_bytes = dict(memory_bytes)
        for model, size in memory_bytes.items():
            tier, whole = tiers[model], size + self._kv_cache_bytes.get(model, 0)
            if tier in ("asleep", "parked"):
                self._idle[model, tier] = size
            if tier == "asleep":
                self._loaded[model] = whole
            elif tier == "awake":
                # Of its KV cache, what was never used is not resident: count the whole of it.
                self._loaded[model] = max(self._loaded.get(model, whole), size)

    def loaded_bytes(self, model: str) -> int | None:
        """What `model` holds when it is awake, its whole KV cache counted; None: never measured."""
        return self._loaded.get(model)

    def loading_bytes(self, model: str) -> int:
        """What `model` is expected to hold while it is loaded, with its KV cache for the canary.

        A model never loaded is taken to be as large as the largest one known.
        """
        known = self._loaded.get(model)
        if known is not None:
            return known
        return max([*self.now_bytes.values(), *self._loaded.values()], default=0)

    def asleep_bytes(self, model: str) -> int | None:
        """What `model` last held when it was asleep, so about what is to be brought back."""
        return self._idle.get((model, "asleep"))

    def parking_frees(self, model: str) -> int:
        """What parking `model`, which is asleep, gives back; at least nothing."""
        held = self.now_bytes.get(model, 0)
        parked = self._idle.get((model, "parked"), min(held // 2, IDLE_ENGINE_BYTES))
        return max(held - parked, 0)

    def most_awake_bytes(self, model: str) -> int | None:
        """More than this `model` must not hold once it is awake; None: nothing is known of it."""
        loaded = self._loaded.get(model)
        return None if loaded is None else _tolerated(loaded)

    def most_idle_bytes(self, model: str, tier: Tier) -> int | None:
        """More than this `model` must not hold once it is asleep, or parked; None: not known."""
        known = self._idle.get((model, tier))
        if known is not None:
            return _tolerated(known)
        asleep = self._idle.get((model, "asleep"))
        if tier == "parked" and asleep is not None:
            # Never parked before: of its weights, at least half must be gone.
            return _tolerated((asleep + min(asleep, IDLE_ENGINE_BYTES)) // 2)
        loaded = self._loaded.get(model)
        return _tolerated(loaded) if tier == "asleep" and loaded is not None else None


def _tolerated(expected_bytes: int) -> int:
    return int(expected_bytes * (1 + TOLERANCE)) + TOLERANCE_BYTES


def gib(size_bytes: int) -> str:
    """A size as people read it."""
    return f"{size_bytes / 1024**3:.2f} GiB"
