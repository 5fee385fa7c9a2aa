"""A plan: one allocation decision with all its reasons. Data only."""

import msgspec

from orchestration.allocation.load.capacity import Capacity
from orchestration.allocation.load.demand import ModelDemand
from orchestration.allocation.operators.overrides import Override


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One hotswap that a plan asks for."""

    host: str
    from_model: str | None
    to_model: str
    reason: str
    grant: tuple[str, ...] = ()
    """What the host may have awake from then on; `to_model` is its first."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One allocation decision (also when it moves nothing)."""

    plan_id: int
    made_at: float
    trigger: str
    """What the plan answers to, in words."""
    moves: tuple[Move, ...]
    grants: dict[str, tuple[str, ...]]
    """The models each host may have awake, the one to have now first; none for a host that cannot
    serve now."""
    replicas: dict[str, int]
    """Replicas of every model once the moves are made."""
    verdicts: dict[str, str]
    """For every model: why it gets, keeps, gives up or does not get replicas."""
    demand: dict[str, ModelDemand]
    capacity: dict[str, Capacity] = {}
    """What one replica of each model does."""
    regrants: tuple[str, ...] = ()
    """Hosts whose grant changes although their awake model stays."""
    changed: tuple[str, ...] = ()
    """Models that other hosts serve than the plan before said; all, if there was none before."""
    overrides: tuple[Override, ...] = ()
    """What operators had told when it was made."""
    immovable: dict[str, str] = {}
    """Hosts that demand could not move, and why."""

    def granted(self, host: str) -> str | None:
        """The model that `host` should have awake, if any."""
        models = self.grants.get(host, ())
        return models[0] if models else None

    def shares(self, host: str) -> bool:
        """Whether `host` is granted several models."""
        return len(self.grants.get(host, ())) > 1
