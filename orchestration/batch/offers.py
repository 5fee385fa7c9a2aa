"""What the fleet offers to batch work of a model now, as the gateway says it. Pure."""

import msgspec

SERVING = "serving"


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """Replicas of a model and their slots; `trouble`: why nothing is known."""

    replicas: int = 0
    slots: int = 0
    trouble: str = ""


class _Host(msgspec.Struct, frozen=True):
    host: str
    reachable: bool
    phase: str = ""
    awake_model: str | None = None
    slots: int = 0


class _Fleet(msgspec.Struct, frozen=True):
    hosts: tuple[_Host, ...]


_decoder = msgspec.json.Decoder(_Fleet)


def offer_of(page: bytes, model: str) -> Offer:
    """The offer on the gateway's page of the fleet."""
    try:
        hosts = _decoder.decode(page).hosts
    except msgspec.MsgspecError as error:
        return Offer(trouble=f"the gateway's page of the fleet is not readable: {error}")
    replicas = [
        host
        for host in hosts
        if host.reachable and host.phase == SERVING and host.awake_model == model
    ]
    return Offer(replicas=len(replicas), slots=sum(host.slots for host in replicas))
