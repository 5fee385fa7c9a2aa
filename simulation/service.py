"""How fast a modelled engine is, and how long a hotswap takes. Numbers only.

A step of an engine with n generations takes `step_s + token_s * n`; while a prompt is prefilled, a
step also computes one chunk of it. Both linear forms are what batch-size profiles show up to
saturation (docs/coserving.md); Sarathi-Serve (Agrawal et al., OSDI 2024) for chunked prefill.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServiceModel:
    """One engine of one model."""

    step_s: float
    """Time of a step, whatever runs."""
    token_s: float
    """Added for every generation in the step."""
    prefill_token_s: float
    """Added for every prompt token in the step."""
    chunk_tokens: int
    """Prompt tokens of one step at most."""
    slots: int

    def tpot_s(self, running: int) -> float:
        """Time per output token with `running` generations and no prompt."""
        return self.step_s + self.token_s * max(1, running)

    def rates(self, decoding: int, *, prefilling: bool) -> tuple[float, float]:
        """Output tokens per second of each generation, and prompt tokens per second in all."""
        if not prefilling:
            return 1.0 / self.tpot_s(decoding), 0.0
        chunk_s = self.chunk_tokens * self.prefill_token_s
        step_s = self.step_s + self.token_s * decoding + chunk_s
        return 1.0 / step_s, self.chunk_tokens / step_s

    @property
    def prompt_token_s(self) -> float:
        """Time of a prompt token where nothing else runs, with its part of a step."""
        return self.prefill_token_s + self.step_s / self.chunk_tokens

    def largest_batch(self, tpot_s: float) -> int:
        """Generations that fit within a time per output token; 0 if one alone does not."""
        if self.tpot_s(1) > tpot_s:
            return 0
        if self.token_s == 0:
            return self.slots
        return min(self.slots, int((tpot_s - self.step_s) / self.token_s + 1e-9))


@dataclass(frozen=True)
class SwapTimes:
    """Seconds from the command of a hotswap until the new model serves, by where it was."""

    asleep_s: float
    disk_s: float
