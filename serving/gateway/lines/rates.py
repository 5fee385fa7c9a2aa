"""How fast each model's batch work went lately, measured while it was as fast as it may be.

Plain state, told of tokens and asked at intervals. What is made of it is in `work`.
"""

from collections import defaultdict
from dataclasses import dataclass
from math import exp

from serving.gateway.lines.offers import BatchOffer
from serving.gateway.lines.work import work_tokens

MEMORY_S = 600.0
"""What was seen so long ago counts 1/e."""
LEAST_S = 20.0
"""Of replica time; from less no rate is told."""
_WEIGHT = 0.05
"""Of the newest request, in the mean length of answers."""


@dataclass
class _Seen:
    """Of one model."""

    work: float = 0.0
    """Since the last sample."""
    sampled_at: float | None = None
    """None: batch did not fill its slots then, so what comes next says nothing."""
    summed_work: float = 0.0
    replica_s: float = 0.0
    alone_work: float = 0.0
    alone_s: float = 0.0
    mean_output_tokens: float | None = None


class BatchRates:
    """Work done by batch generations, a replica and a second, by model."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, _Seen] = defaultdict(_Seen)

    def computed(self, model: str, *, prompt_tokens: int, output_tokens: int) -> None:
        """A batch generation got on by so much; what is computed again does not count."""
        self._seen[model].work += work_tokens(prompt_tokens, output_tokens)

    def ended(self, model: str, output_tokens: int) -> None:
        """A batch request is complete."""
        seen = self._seen[model]
        if seen.mean_output_tokens is None:
            seen.mean_output_tokens = float(output_tokens)
        seen.mean_output_tokens += _WEIGHT * (output_tokens - seen.mean_output_tokens)

    def sample(self, model: str, offer: BatchOffer, now: float) -> None:
        """Every few seconds: what was computed between two samples with filled slots counts."""
        seen = self._seen[model]
        work, seen.work = seen.work, 0.0
        before, seen.sampled_at = seen.sampled_at, now if offer.is_filled else None
        if before is None or not offer.is_filled:
            return
        kept, spent_s = exp(-(now - before) / MEMORY_S), offer.replicas * (now - before)
        seen.summed_work = kept * seen.summed_work + work
        seen.replica_s = kept * seen.replica_s + spent_s
        if offer.slots == offer.slots_at_rest:
            seen.alone_work = kept * seen.alone_work + work
            seen.alone_s = kept * seen.alone_s + spent_s

    def work_tokens_per_s(self, model: str) -> float | None:
        """Of one replica, beside whatever interactive work there was; None: too little was seen."""
        seen = self._seen[model]
        return seen.summed_work / seen.replica_s if seen.replica_s >= LEAST_S else None

    def alone_work_tokens_per_s(self, model: str) -> float | None:
        """Of one replica without interactive work; None: too little was seen."""
        seen = self._seen[model]
        return seen.alone_work / seen.alone_s if seen.alone_s >= LEAST_S else None

    def mean_output_tokens(self, model: str) -> float | None:
        """Of a complete batch request; None: there was none."""
        return self._seen[model].mean_output_tokens
