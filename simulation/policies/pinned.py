"""Dedicated engines: a fixed count for every model, for ever.

Counts come from the mean load, or from the least that keeps a model's service level alone.
"""

import math

from simulation.cluster import Cluster, Host
from simulation.commands import Command, Swap
from simulation.engine import Request
from simulation.service import ServiceModel
from simulation.trace import Trace


class Pinned:
    """`counts[model]` engines each; models beyond the pool get none."""

    tick_s = math.inf

    def __init__(self, name: str, counts: list[int]) -> None:
        self.name, self._counts = name, counts

    def start(self, cluster: Cluster) -> list[tuple[int, int]]:
        """Hosts in order, models in order of their counts, the larger ones first."""
        order = sorted(range(len(self._counts)), key=lambda model: (-self._counts[model], model))
        wanted = [model for model in order for _ in range(self._counts[model])]
        return list(enumerate(wanted[: len(cluster.hosts)]))

    def tick(self, now: float, cluster: Cluster) -> list[Command]:
        """Nothing ever changes."""
        return []

    def starved(self, now: float, model: int, cluster: Cluster) -> list[Command]:
        """Nothing ever changes."""
        return []

    def idle(self, now: float, host: Host, cluster: Cluster) -> list[Command]:
        """Nothing ever changes."""
        return []

    def ended(self, now: float, request: Request) -> None:
        """Nothing is learnt from it."""


def mean_counts(trace: Trace, services: list[ServiceModel], tpot_s: float) -> list[int]:
    """Engines for the mean offered work of each model; one where there is any."""
    counts = []
    for model, service in enumerate(services):
        rows = trace.model == model
        work_s = float(
            trace.input_tokens[rows].sum() * service.prefill_token_s
            + trace.output_tokens[rows].sum() * output_token_s(service, tpot_s)
        )
        counts.append(math.ceil(work_s / max(1.0, trace.duration_s)) if work_s else 0)
    return counts


def output_token_s(service: ServiceModel, tpot_s: float) -> float:
    """Engine seconds of an output token at the largest batch within a time per output token."""
    batch = max(1, service.largest_batch(tpot_s))
    return service.tpot_s(batch) / batch
