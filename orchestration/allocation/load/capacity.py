"""Capacity: how much work one replica of a model does, and how it is known.

From the model's batch-size profile where one was measured on hardware that the fleet's hosts have,
else from the fleet file. Pure.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise

import msgspec

from analytics.traffic import ModelTraffic
from serving.config import Fleet, ModelSettings, ServiceLevels
from serving.wire import BatchSizePoint, BatchSizeProfile, HostState

ASSUMED_PROMPT_SHARE = 0.5
"""Of all tokens, those of prompts, while none of the model's requests has ended."""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica of a model does."""

    tokens_per_s: float
    """Prompt and output, in the mix that is asked for now."""
    source: str
    """How it is known, in words."""
    concurrency: int = 1
    """Requests that it serves at once then."""
    rates: tuple[tuple[int, float], ...] = ()
    """Measured batch sizes and their output tokens per second, ascending; none without profile."""

    def replicas(self, tokens_per_s: float) -> float:
        """Work in units of what one replica does."""
        return tokens_per_s / self.tokens_per_s

    def share_at(self, batch_size: float, slots: int) -> float:
        """The share of a full batch's throughput that `batch_size` generations get.

        Between measured sizes by a straight line; without a profile, throughput is taken to grow
        with the batch.
        """
        points = [(0.0, 0.0), *self.rates] if self.rates else [(0.0, 0.0), (float(slots), 1.0)]
        best = max(rate for _, rate in points)
        return min(1.0, _between(points, batch_size) / best)


def capacities(
    fleet: Fleet,
    profiles: Iterable[BatchSizeProfile],
    states: Mapping[str, HostState | None],
    traffic: Iterable[ModelTraffic],
) -> dict[str, Capacity]:
    """The capacity of every model of the fleet. Of several kinds of hardware the slowest counts."""
    present = {state.hardware for state in states.values() if state is not None}
    usable = [profile for profile in profiles if profile.hardware in present]
    rows = list(traffic)
    found = {}
    for model in fleet.models:
        share = _prompt_share(row for row in rows if row.model == model.name)
        measured = [
            _measured(profile, model.service_levels, share)
            for profile in usable
            if profile.model == model.name
        ]
        found[model.name] = min(measured, key=lambda c: c.tokens_per_s, default=_stated(model))
    return found


def _stated(model: ModelSettings) -> Capacity:
    return Capacity(
        tokens_per_s=model.replica_tokens_per_s,
        source="by the fleet file",
        concurrency=model.slots,
    )


def _measured(profile: BatchSizeProfile, levels: ServiceLevels, prompt_share: float) -> Capacity:
    """What the profile says of a mix in which `prompt_share` of the tokens are prompts."""
    points = sorted(profile.points, key=lambda point: point.batch_size)
    best = _largest_within(points, levels)
    prompts_per_s = profile.prompt_tokens / points[0].ttft_s if points[0].ttft_s > 0 else 0.0
    prompts_per_s = prompts_per_s or best.tokens_per_s
    seconds = prompt_share / prompts_per_s + (1 - prompt_share) / best.tokens_per_s
    return Capacity(
        tokens_per_s=1 / seconds,
        source=f"measured at batch size {best.batch_size} on {profile.hardware}",
        concurrency=best.batch_size,
        rates=tuple((point.batch_size, point.tokens_per_s) for point in points),
    )


def _largest_within(points: list[BatchSizePoint], levels: ServiceLevels) -> BatchSizePoint:
    """The largest batch size up to which every one keeps the service levels; at least the first."""
    best = points[0]
    for point in points:
        if point.tpot_s > levels.tpot_s or point.ttft_s > levels.ttft_s:
            break
        best = max(best, point, key=lambda p: p.tokens_per_s)
    return best


def _prompt_share(rows: Iterable[ModelTraffic]) -> float:
    prompts, outputs = 0.0, 0.0
    for row in rows:
        prompts += row.prompt_tokens_per_s
        outputs += row.output_tokens_per_s
    total = prompts + outputs
    return prompts / total if total > 0 else ASSUMED_PROMPT_SHARE


def _between(points: list[tuple[float, float]], size: float) -> float:
    """The rate at `size` by a straight line between the points beside it."""
    for (left, low), (right, high) in pairwise(points):
        if size <= right:
            return low + (high - low) * (size - left) / (right - left)
    return points[-1][1]
