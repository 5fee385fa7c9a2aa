"""The times between the tokens of a generation, counted as they pass.

Plain state: the longest, and how many fell into which bucket. What is made of them is for events
(`serving.gateway.record`) and `/metrics` (`serving.gateway.metrics`).
"""

from bisect import bisect_left

BUCKETS_S = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds; a last bucket takes what is longer."""


class TokenGaps:
    """Gaps between tokens. Tokens that came at one time have one gap before them."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        """Gaps in each bucket, not cumulated."""
        self.sum_s = 0.0
        self.longest_s: float | None = None

    def add(self, gap_s: float) -> None:
        """Count one gap."""
        self.counts[bisect_left(BUCKETS_S, gap_s)] += 1
        self.sum_s += gap_s
        if self.longest_s is None or gap_s > self.longest_s:
            self.longest_s = gap_s

    def merge(self, other: "TokenGaps") -> None:
        """Count all of `other`'s gaps too."""
        self.counts = [
            ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)
        ]
        self.sum_s += other.sum_s
        longest = [gap for gap in (self.longest_s, other.longest_s) if gap is not None]
        self.longest_s = max(longest, default=None)
