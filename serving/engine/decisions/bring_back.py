"""How long a model takes from a tier to awake: a fixed time and its bytes ÷ the tier's bandwidth.

Both are measured from the host's own wakes and moves, by a line through what they took; the guess
that stands in at first keeps its say in the slope while all models seen are of about one size.
"""

from dataclasses import dataclass

from serving.wire import Tier

_FORGETTING = 0.8
"""What an observation still counts when the next one comes."""
_GUESS_SPREAD_BYTES = 256e6
"""The guessed bandwidth counts as much as observations whose sizes spread like this."""
_GUESSED_BYTES_PER_S: dict[Tier, float] = {
    "awake": float("inf"),
    "asleep": 10e9,
    "parked": 1e9,
    "disk": 0.2e9,
    "absent": 0.02e9,
}
"""From asleep: memory to device. Parked: the file cache. Disk: a new process too. Absent: a
network."""


@dataclass
class _Line:
    """Means over what was observed, the latest counting most."""

    slope: float
    weight: float = 0.0
    size_bytes: float = 0.0
    took_s: float = 0.0
    spread: float = 0.0
    common: float = 0.0

    def observe(self, size_bytes: float, took_s: float) -> None:
        self.weight = 1 + _FORGETTING * self.weight
        share, further_bytes = 1 / self.weight, size_bytes - self.size_bytes
        further_s = took_s - self.took_s
        self.size_bytes += share * further_bytes
        self.took_s += share * further_s
        self.spread = (1 - share) * (self.spread + share * further_bytes**2)
        self.common = (1 - share) * (self.common + share * further_bytes * further_s)

    def at(self, size_bytes: float) -> float:
        if not self.weight:
            return size_bytes * self.slope
        guess = _GUESS_SPREAD_BYTES**2
        slope = max((self.common + guess * self.slope) / (self.spread + guess), 0.0)
        return max(self.took_s + slope * (size_bytes - self.size_bytes), 0.0)


_GUESSED_REST_S = 0.5
"""Until a hotswap was seen."""
_NEWEST = 0.2
"""Weight of the newest hotswap in the mean."""


class BringBack:
    """Seconds to bring models back, by tier and size."""

    def __init__(self) -> None:
        self._rest_s = _GUESSED_REST_S
        self._lines = {tier: _Line(1 / rate) for tier, rate in _GUESSED_BYTES_PER_S.items()}

    def took(self, tier: Tier, size_bytes: int, took_s: float) -> None:
        """A model of this size was brought back from `tier`."""
        self._lines[tier].observe(size_bytes, took_s)

    def expected_s(self, tier: Tier, size_bytes: int) -> float:
        """How long a model of this size will take from `tier`."""
        return self._lines[tier].at(size_bytes)

    def swapped(self, rest_s: float) -> None:
        """A hotswap took this long beside waking its model: handing back, sleep, canary."""
        self._rest_s += _NEWEST * (rest_s - self._rest_s)

    def hotswap_s(self, tier: Tier, size_bytes: int) -> float:
        """How long a hotswap to a model of this size will take from `tier`."""
        return self._rest_s + self.expected_s(tier, size_bytes)
