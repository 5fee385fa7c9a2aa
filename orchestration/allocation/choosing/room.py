"""Room: whether hosts can be found for a set of grants, where not every host holds every model.

Hosts that cannot hold the same models are alike. Grants are matched to kinds of hosts by augmenting
paths, which keeps every set of grants that can be matched at all (a transversal matroid: taking the
most valuable one that still fits, again and again, is optimal). Pure, but for its own counts.
"""

from collections import Counter, deque
from collections.abc import Iterable

from orchestration.allocation.pool import Place

Kind = frozenset[str]
"""The models that hosts of this kind cannot hold."""


class Room:
    """How many grants each kind of host has taken, and can still take."""

    def __init__(self, hosts: Iterable[Place]) -> None:
        """All hosts are free."""
        self._free = Counter(frozenset(host.excluded).difference(host.grant) for host in hosts)
        self._given: dict[Kind, Counter[tuple[str, ...]]] = {kind: Counter() for kind in self._free}

    def take(self, grant: tuple[str, ...]) -> bool:
        """Give `grant` a host, moving others between kinds of hosts if need be; False: no room."""
        came_from: dict[Kind, tuple[Kind | None, tuple[str, ...]]] = {}
        queue: deque[tuple[Kind | None, tuple[str, ...]]] = deque([(None, grant)])
        while queue:
            source, moved = queue.popleft()
            for kind in self._free:
                if kind in came_from or not kind.isdisjoint(moved):
                    continue
                came_from[kind] = (source, moved)
                if self._free[kind] > 0:
                    self._shift(kind, came_from)
                    return True
                queue.extend((kind, other) for other, count in self._given[kind].items() if count)
        return False

    def release(self, grant: tuple[str, ...]) -> None:
        """Take back a host that `grant` was given."""
        for kind, given in self._given.items():
            if given[grant]:
                given[grant] -= 1
                self._free[kind] += 1
                return
        raise KeyError(grant)

    def _shift(
        self, free: Kind, came_from: dict[Kind, tuple[Kind | None, tuple[str, ...]]]
    ) -> None:
        """Along the path to a kind with a free host, every grant moves on by one."""
        self._free[free] -= 1
        kind: Kind | None = free
        while kind is not None:
            source, grant = came_from[kind]
            self._given[kind][grant] += 1
            if source is not None:
                self._given[source][grant] -= 1
            kind = source
