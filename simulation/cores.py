"""Hosts that share a machine: each is slower while others of it compute. Pure.

Engines on one machine share its cores with each other and with what serves them: their host
processes, the gateway, the control plane. How fast one is alone is `simulation.service`'s.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulation.host import Host


@dataclass(frozen=True)
class SharedCores:
    """So many hosts on each machine, in the order of their numbers."""

    hosts_per_machine: int
    slower_beside: float
    """By how much of its time alone everything takes longer for each other host that computes."""

    def paces(self, hosts: Sequence[Host]) -> Iterator[tuple[Host, float]]:
        """Each host that serves, and how many times as long as alone everything takes on it."""
        computing = Counter(self._machine(host) for host in hosts if _computes(host))
        for host in hosts:
            if host.engine is not None:
                others = computing[self._machine(host)] - _computes(host)
                yield host, 1.0 + self.slower_beside * others

    def _machine(self, host: Host) -> int:
        return host.number // self.hosts_per_machine


def _computes(host: Host) -> bool:
    """A hotswap computes too: it wakes, checks and frees."""
    return host.target is not None or (host.engine is not None and host.engine.running > 0)
