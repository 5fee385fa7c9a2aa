"""Which replica takes a generation. Pure decisions over a snapshot of the hosts' loads."""

from collections.abc import Iterable, Set
from dataclasses import dataclass

from serving.wire import RequestClass


@dataclass(frozen=True)
class ReplicaLoad:
    """What one replica of the model in question carries, with what was just sent to it."""

    host: str
    interactive: int
    batch: int
    """With what is held there: it goes on before anything new gets a slot."""
    slots: int
    interactive_cap: int
    shared: bool = False
    """It may switch to another model."""
    wake_s: float | None = None
    """How long waking the model in question would take here; None: nobody said."""

    @property
    def total(self) -> int:
        """Requests of both classes, running, waiting or held."""
        return self.interactive + self.batch

    @property
    def room(self) -> int:
        """Places left in the running batch, below zero if requests wait."""
        limit = self.interactive_cap if self.interactive else self.slots
        return limit - self.total


def pick_replica(
    replicas: Iterable[ReplicaLoad], request_class: RequestClass, *, avoid: Set[str] = frozenset()
) -> str | None:
    """The host to send to, None if there is no replica.

    Interactive work goes where the least interactive work is, batch work where the most room
    is. `avoid` names hosts that just gave the generation back: they get it only if no other
    replica has room for it.
    """
    candidates = list(replicas)
    if avoid:
        elsewhere = [r for r in candidates if r.host not in avoid and _takes(r, request_class)]
        candidates = elsewhere or candidates
    best = min(candidates, key=lambda r: _preference(r, request_class), default=None)
    return None if best is None else best.host


def pick_in_time(
    replicas: Iterable[ReplicaLoad], *, avoid: Set[str] = frozenset(), piled: Set[str] = frozenset()
) -> str | None:
    """The host for an interactive request, None if all of them are `piled`: to wait is better.

    A host of the model's own before shared ones; of shared ones the busiest, so that others become
    idle and free for another model.
    """
    candidates = [replica for replica in replicas if replica.host not in piled]
    elsewhere = [r for r in candidates if r.host not in avoid and _takes(r, "interactive")]
    best = min(elsewhere or candidates, key=_own_first, default=None)
    return None if best is None else best.host


def _own_first(replica: ReplicaLoad) -> tuple[bool, bool, int, str]:
    busy = -replica.interactive if replica.shared else replica.interactive
    return (replica.shared, not _takes(replica, "interactive"), busy, replica.host)


def pick_elsewhere(replicas: Iterable[ReplicaLoad], *, than: str) -> str | None:
    """The replica on which a generation held by the host `than` would have a slot at once."""
    free = [r for r in replicas if r.host != than and r.room > 0]
    best = min(free, key=lambda r: _preference(r, "batch"), default=None)
    return None if best is None else best.host


def _takes(replica: ReplicaLoad, request_class: RequestClass) -> bool:
    if request_class == "interactive":
        return replica.interactive < replica.interactive_cap
    return replica.room > 0


def _preference(replica: ReplicaLoad, request_class: RequestClass) -> tuple[int, int, str]:
    if request_class == "interactive":
        return (replica.interactive, replica.total, replica.host)
    return (-replica.room, replica.total, replica.host)
