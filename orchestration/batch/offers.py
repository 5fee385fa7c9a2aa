"""What the fleet offers to batch work of a model now, as the gateway says it. Pure."""

import msgspec

SERVING = "serving"


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """Replicas of a model and their slots; `trouble`: why nothing is known."""

    replicas: int = 0
    slots: int = 0
    """Those that batch work has when no interactive work is there."""
    in_flight: int = 0
    """Batch requests that the gateway has, of all works."""
    works: int = 0
    """Batches and datasets that these are of."""
    due_per_s: float = 0.0
    """How many of these must be answered in a second for all works to be in time."""
    trouble: str = ""


class _Host(msgspec.Struct, frozen=True):
    host: str
    reachable: bool
    phase: str = ""
    awake_model: str | None = None
    slots: int = 0


class _Batch(msgspec.Struct, frozen=True):
    slots_at_rest: int
    in_flight: int = 0
    works: int = 0
    due_per_s: float = 0.0


class _Model(msgspec.Struct, frozen=True):
    name: str
    batch: _Batch | None = None


class _Fleet(msgspec.Struct, frozen=True):
    hosts: tuple[_Host, ...]
    models: tuple[_Model, ...] = ()


_decoder = msgspec.json.Decoder(_Fleet)


def offer_of(page: bytes, model: str) -> Offer:
    """The offer on the gateway's page of the fleet."""
    try:
        fleet = _decoder.decode(page)
    except msgspec.MsgspecError as error:
        return Offer(trouble=f"the gateway's page of the fleet is not readable: {error}")
    replicas = [
        host
        for host in fleet.hosts
        if host.reachable and host.phase == SERVING and host.awake_model == model
    ]
    told = [one.batch for one in fleet.models if one.name == model and one.batch]
    if not told:
        return Offer(replicas=len(replicas), slots=sum(host.slots for host in replicas))
    return Offer(
        replicas=len(replicas),
        slots=told[0].slots_at_rest,
        in_flight=told[0].in_flight,
        works=told[0].works,
        due_per_s=told[0].due_per_s,
    )
