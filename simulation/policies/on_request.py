"""Swapping on request: a model without an engine takes the least recently used one at once.

What ModelMesh-like servers and llama-swap do: no plan, no forecast, no minimum stay.
"""

from collections.abc import Sequence

from simulation.cluster import Cluster
from simulation.commands import Command, Swap
from simulation.host import Host
from simulation.policy import Policy


class OnRequest(Policy):
    """Least recently used engine first; an idle one before a busy one."""

    name = "swap on request"

    def __init__(self) -> None:
        self._used_at: dict[int, float] = {}

    def start(self, cluster: Cluster) -> Sequence[Command]:
        """The first models of the list, one engine each."""
        return [Swap(n, n) for n in range(min(len(cluster.hosts), len(cluster.services)))]

    def starved(self, now: float, model: int, cluster: Cluster) -> Sequence[Command]:
        """Swap it in where that hurts the model used longest ago."""
        settled = [host for host in cluster.hosts if host.target is None]
        if not settled:
            return []
        return [Swap(min(settled, key=self._preference).number, model)]

    def idle(self, now: float, host: Host, cluster: Cluster) -> Sequence[Command]:
        """Remember the use; take over a model that was left waiting when every host was busy."""
        self._used_at[host.number] = now
        starving = [
            model
            for model, waiting in enumerate(cluster.waiting)
            if len(waiting) and not any(each.assigned == model for each in cluster.hosts)
        ]
        if not starving:
            return []
        return [Swap(host.number, min(starving, key=lambda m: cluster.waiting[m].oldest_at()))]

    def _preference(self, host: Host) -> tuple[bool, float, int]:
        busy = host.engine is not None and host.engine.running > 0
        return busy, max(self._used_at.get(host.number, 0.0), host.swapped_at), host.number
