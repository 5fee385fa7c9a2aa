"""What one run of the reaction benchmark measured, before it is summarized."""

from dataclasses import dataclass

from benchmarks.timeline import Timeline


@dataclass(frozen=True)
class Reaction:
    """A burst for a model without a replica, until its first token."""

    model: str
    first_token_s: float
    """From sending the burst to the first token of any of its requests."""
    slowest_first_token_s: float
    """The same for the request that had its first token last."""
    timeline: Timeline

    @property
    def after_hotswap_s(self) -> float:
        """From the end of the hotswap to the first token: the gateway's notice, and a prefill."""
        return self.first_token_s - self.timeline.parts.total_s
