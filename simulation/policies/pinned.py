"""Dedicated engines: a fixed count for every model, for ever.

Counts come from the mean load, or from the least that keeps a model's service level alone.
"""

import math
from collections.abc import Sequence

from simulation.cluster import Cluster
from simulation.commands import Command, Swap
from simulation.policy import Policy
from simulation.service import ServiceModel
from simulation.trace import Trace


class Pinned(Policy):
    """`counts[model]` engines each; models beyond the pool get none."""

    def __init__(self, name: str, counts: list[int]) -> None:
        self.name, self._counts = name, counts

    def start(self, cluster: Cluster) -> Sequence[Command]:
        """Hosts in order, models in order of their counts, the larger ones first."""
        order = sorted(range(len(self._counts)), key=lambda model: (-self._counts[model], model))
        wanted = [model for model in order for _ in range(self._counts[model])]
        return [Swap(*each) for each in enumerate(wanted[: len(cluster.hosts)])]


def mean_load(trace: Trace, services: list[ServiceModel], tpot_s: float) -> list[float]:
    """Mean offered work of each model, in engines."""
    loads = []
    for model, service in enumerate(services):
        rows = trace.model == model
        work_s = float(
            trace.input_tokens[rows].sum() * service.prefill_token_s
            + trace.output_tokens[rows].sum() * output_token_s(service, tpot_s)
        )
        loads.append(work_s / max(1.0, trace.duration_s))
    return loads


def mean_counts(trace: Trace, services: list[ServiceModel], tpot_s: float) -> list[int]:
    """Engines for the mean offered work of each model; one where there is any."""
    return [math.ceil(load) for load in mean_load(trace, services, tpot_s)]


def output_token_s(service: ServiceModel, tpot_s: float) -> float:
    """Engine seconds of an output token at the largest batch within a time per output token."""
    batch = max(1, service.largest_batch(tpot_s))
    return service.tpot_s(batch) / batch
