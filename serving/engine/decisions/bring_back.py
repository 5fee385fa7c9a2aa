"""How long a model takes from a tier to awake: its bytes ÷ the tier's bandwidth on this host.

The bandwidth is measured from the host's own wakes and moves; until then it is a guess.
"""

from serving.wire import Tier

_SMOOTHING = 0.3
_GUESSED_BYTES_PER_S: dict[Tier, float] = {
    "awake": float("inf"),
    "asleep": 10e9,
    "parked": 1e9,
    "disk": 0.1e9,
    "absent": 0.01e9,
}
"""From asleep: memory to device. Parked: the file cache. Disk: a new process too. Absent: a
network. Only their ratio counts, and only until a model was brought back from the tier."""


class BringBack:
    """Seconds to bring models back, by tier."""

    def __init__(self) -> None:
        self._own_s: dict[tuple[str, Tier], float] = {}
        self._s_per_byte: dict[Tier, float] = {}

    def took(self, model: str, tier: Tier, size_bytes: int | None, took_s: float) -> None:
        """`model` was brought back from `tier`. The last time counts for it, a mean for others.

        Of a size that is not known yet, nothing follows for others.
        """
        self._own_s[model, tier] = took_s
        if not size_bytes:
            return
        s_per_byte = took_s / size_bytes
        known = self._s_per_byte.get(tier, s_per_byte)
        self._s_per_byte[tier] = known + _SMOOTHING * (s_per_byte - known)

    def expected_s(self, model: str, tier: Tier, size_bytes: int) -> float:
        """How long `model`, of this size, will take from `tier`."""
        own_s = self._own_s.get((model, tier))
        if own_s is not None:
            return own_s
        return size_bytes * self._s_per_byte.get(tier, 1 / _GUESSED_BYTES_PER_S[tier])
