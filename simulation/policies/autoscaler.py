"""A horizontal pod autoscaler for each model on one fixed pool.

Kubernetes' rule (its documentation, "Horizontal Pod Autoscaling", algorithm details): every sync
period desired = ceil(current * metric / target), unchanged within a tolerance of 0.1, scaled down
only to the largest desire of the stabilisation window. The metric is requests running and waiting
for each replica; the target, the batch that keeps the service level. Models without load go to
zero, as with KEDA, since the pool has fewer hosts than models may want.
"""

import math
from collections import deque
from collections.abc import Sequence

from simulation.cluster import Cluster
from simulation.commands import Command, Swap
from simulation.host import Host
from simulation.policy import Policy

SYNC_S = 15.0
STABILISATION_S = 300.0
TOLERANCE = 0.1


class Autoscaler(Policy):
    """One autoscaler a model, first come, first served."""

    name = "pod autoscaler"
    tick_s = SYNC_S

    def __init__(self, tpot_s: float) -> None:
        self._tpot_s = tpot_s
        self._desires: list[deque[tuple[float, int]]] = []
        self._free: set[int] = set()

    def start(self, cluster: Cluster) -> Sequence[Command]:
        """One replica each, as far as the pool goes."""
        models = len(cluster.services)
        self._desires = [deque() for _ in range(models)]
        self._free = set(range(min(models, len(cluster.hosts)), len(cluster.hosts)))
        return [Swap(n, n) for n in range(min(models, len(cluster.hosts)))]

    def tick(self, now: float, cluster: Cluster) -> Sequence[Command]:
        """Scale everything down that may go down, then up what wants more, in models' order."""
        wanted = [self._desired(now, model, cluster) for model in range(len(cluster.services))]
        held = self._held(cluster)
        for model, hosts in enumerate(held):
            for host in sorted(hosts, key=_busyness)[: max(0, len(hosts) - wanted[model])]:
                self._free.add(host.number)
        swaps = []
        for model, hosts in enumerate(held):
            kept = sum(host.number not in self._free for host in hosts)
            for _ in range(wanted[model] - kept):
                if not self._free:
                    break
                own = next((h.number for h in hosts if h.number in self._free), None)
                number = own if own is not None else min(self._free)
                self._free.discard(number)
                swaps.append(Swap(number, model))
        return swaps

    def _held(self, cluster: Cluster) -> list[list[Host]]:
        held: list[list[Host]] = [[] for _ in cluster.services]
        for host in cluster.hosts:
            if host.assigned is not None and host.number not in self._free:
                held[host.assigned].append(host)
        return held

    def _desired(self, now: float, model: int, cluster: Cluster) -> int:
        hosts = self._held(cluster)[model]
        load = len(cluster.waiting[model])
        load += sum(host.engine.running for host in hosts if host.engine is not None)
        target = max(1, cluster.services[model].largest_batch(self._tpot_s))
        current = len(hosts)
        desired = math.ceil(load / target)
        if current and abs(load / (current * target) - 1) <= TOLERANCE:
            desired = current
        window = self._desires[model]
        window.append((now, desired))
        while window[0][0] < now - STABILISATION_S:
            window.popleft()
        return desired if desired > current else max(d for _, d in window)


def _busyness(host: Host) -> tuple[int, int]:
    return (host.engine.running if host.engine is not None else 0, host.number)
