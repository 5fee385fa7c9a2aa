"""What hotswaps cost, learned from those that were recorded. Pure.

A host's own figure for a model and tier is believed as far as it rests on several swaps: with few
it is drawn to the model's over all hosts, that to the tier's over all models, and that to what is
assumed (`swap_cost`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from orchestration.allocation.placing.swap_cost import ASSUMED_SWAP_S, SwapCost
from serving.wire import Tier

SWAP_SECONDS = "SELECT host, model, tier, swaps, median_s FROM swap_seconds"

BELIEVED_SWAPS = 3.0
"""So many swaps weigh as much as what is known from elsewhere."""


class SwapRecord(NamedTuple):
    """The recorded swaps of one host to one model out of one tier."""

    host: str
    model: str
    tier: Tier
    swaps: int
    median_s: float


def learned_swap_cost(records: Iterable[SwapRecord]) -> SwapCost:
    """Seconds by host, model and tier; for what nobody recorded, by what is most like it."""
    own = [record for record in records if record.tier in ASSUMED_SWAP_S]
    of_tier = {
        tier: _drawn(found, ASSUMED_SWAP_S[tier])
        for tier in ASSUMED_SWAP_S
        if (found := [record for record in own if record.tier == tier])
    }
    by_model: dict[tuple[str, Tier], list[SwapRecord]] = defaultdict(list)
    for record in own:
        by_model[record.model, record.tier].append(record)
    of_model = {key: _drawn(found, of_tier[key[1]]) for key, found in by_model.items()}
    of_host = {(r.host, r.model, r.tier): _drawn([r], of_model[r.model, r.tier]) for r in own}
    return _Learned(of_host, of_model, of_tier)


class _Learned:
    """Answers from the most particular figure there is."""

    def __init__(
        self,
        of_host: Mapping[tuple[str, str, Tier], float],
        of_model: Mapping[tuple[str, Tier], float],
        of_tier: Mapping[Tier, float],
    ) -> None:
        self._of_host, self._of_model, self._of_tier = of_host, of_model, of_tier

    def __call__(self, host: str, model: str, tier: Tier) -> float:
        of_tier = self._of_tier.get(tier, ASSUMED_SWAP_S[tier])
        of_model = self._of_model.get((model, tier), of_tier)
        return self._of_host.get((host, model, tier), of_model)


def _drawn(records: list[SwapRecord], known_s: float) -> float:
    """The records' median, drawn to `known_s` by how few swaps there are."""
    swaps = sum(record.swaps for record in records)
    return (swaps * _median(records) + BELIEVED_SWAPS * known_s) / (swaps + BELIEVED_SWAPS)


def _median(records: list[SwapRecord]) -> float:
    """The weighted median of medians; of two in the middle the lower."""
    half = sum(record.swaps for record in records) / 2
    so_far = 0
    ordered = sorted(records, key=lambda record: record.median_s)
    for record in ordered:
        so_far += record.swaps
        if so_far >= half:
            break
    return record.median_s
