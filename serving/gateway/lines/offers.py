"""How many slots of a model's replicas batch work may have now. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from serving.gateway.placement import ReplicaLoad


@dataclass(frozen=True)
class BatchOffer:
    """What the replicas of one model offer to batch work."""

    replicas: int
    slots: int
    """For batch altogether, taken or free, beside the interactive work that is there now."""
    slots_at_rest: int
    """The same without interactive work: what a window of open requests should fill. What is more
    than `slots` is held or queues on its host, and goes on the moment interactive work leaves."""
    in_flight: int
    """Batch generations that this gateway has: running, held or waiting."""

    @property
    def is_filled(self) -> bool:
        """Whether batch work computes as much as it may: more of it would not be faster."""
        return self.replicas > 0 and self.in_flight >= self.slots > 0


def batch_offer(loads: Iterable[ReplicaLoad], in_flight: int) -> BatchOffer:
    """The offer of replicas with these loads."""
    replicas = list(loads)
    return BatchOffer(
        replicas=len(replicas),
        slots=sum(map(_slots, replicas)),
        slots_at_rest=sum(replica.slots for replica in replicas),
        in_flight=in_flight,
    )


def _slots(load: ReplicaLoad) -> int:
    """As admission on the host counts: the cap bounds all while interactive work is present."""
    if not load.interactive:
        return load.slots
    return max(0, min(load.slots, load.interactive_cap) - load.interactive)
