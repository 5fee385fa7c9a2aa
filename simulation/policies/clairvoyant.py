"""A planner that knows what will arrive, and moves whole engines: no time-sharing.

The bound that forecasts are measured by. For every period it knows each model's requests, gives
engines to where most of them are served, and lets every engine keep its model if it can.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulation.cluster import Cluster
from simulation.commands import Command, Swap
from simulation.host import Host
from simulation.policies.pinned import output_token_s
from simulation.policy import Policy
from simulation.service import ServiceModel
from simulation.trace import Trace

BUSIEST_S = 5.0
"""A model gets engines for its busiest stretch of this length within a period."""


class Clairvoyant(Policy):
    """Plans every `period_s` for the period that begins."""

    name = "clairvoyant"

    def __init__(
        self, trace: Trace, services: list[ServiceModel], tpot_s: float, *, period_s: float = 60.0
    ) -> None:
        self.tick_s = period_s
        self._requests, self._engines = _coming(trace, services, tpot_s, period_s)

    def start(self, cluster: Cluster) -> Sequence[Command]:
        """The first period's engines."""
        return [Swap(*each) for each in enumerate(self._chosen(0, len(cluster.hosts)))]

    def tick(self, now: float, cluster: Cluster) -> Sequence[Command]:
        """Engines of the period that begins now, at the fewest swaps."""
        wanted = Counter(self._chosen(round(now / self.tick_s), len(cluster.hosts)))
        spare = []
        for host in cluster.hosts:
            if host.assigned is not None and wanted[host.assigned] > 0:
                wanted[host.assigned] -= 1
            else:
                spare.append(host)
        missing = sorted(wanted.elements())
        return [Swap(h.number, m) for h, m in zip(sorted(spare, key=_load), missing, strict=False)]

    def _chosen(self, period: int, hosts: int) -> list[int]:
        """A model for every host that is needed: most requests served by an engine more first."""
        if period >= self._requests.shape[0]:
            return []
        worth = []
        for model in np.flatnonzero(self._requests[period]).tolist():
            count, engines = int(self._requests[period, model]), self._engines[period, model]
            for number in range(math.ceil(engines)):
                share = min(1.0, engines - number) / engines
                worth.append((-(count * share), number, model))
        return [model for _, _, model in sorted(worth)[:hosts]]


def _coming(
    trace: Trace, services: list[ServiceModel], tpot_s: float, period_s: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Requests, and engines needed in the busiest stretch: arrays of (period, model)."""
    models = len(services)
    stretches = max(1, round(period_s / BUSIEST_S))
    periods = int(trace.duration_s // period_s) + 1
    prompt_s = np.array([s.prefill_token_s for s in services])[trace.model]
    output_s = np.array([output_token_s(s, tpot_s) for s in services])[trace.model]
    work_s = trace.input_tokens * prompt_s + trace.output_tokens * output_s
    stretch = (trace.arrival_s / (period_s / stretches)).astype(np.int64)
    cell = stretch * models + trace.model
    size = periods * stretches * models
    load = np.bincount(cell, weights=work_s, minlength=size)[:size]
    busiest = load.reshape(periods, stretches, models).max(axis=1) / (period_s / stretches)
    counted = np.bincount(cell, minlength=size)[:size]
    requests = counted.reshape(periods, stretches, models).sum(axis=1)
    return requests, np.maximum(busiest, 1e-9)


def _load(host: Host) -> tuple[int, int]:
    return (host.engine.running if host.engine is not None else 0, host.number)
