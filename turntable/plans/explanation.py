"""The plan of now, explained: data, for JSON and for the page in `pages`.

What the planner weighed is said by the plan; the worth of one replica more or less is asked of the
planner's own code.
"""

import msgspec

from orchestration.allocation import Plan
from orchestration.allocation.load.need import Need
from orchestration.allocation.operators.setbacks import Setback
from orchestration.allocation.reading.snapshot import Snapshot
from serving.config import Fleet
from serving.wire import HostState


class HostExplained(msgspec.Struct, frozen=True, kw_only=True):
    """One host: what it does, what it may have awake, and why it cannot be moved, if so."""

    host: str
    phase: str
    awake_model: str | None
    grant: tuple[str, ...]
    immovable: str | None


class ModelExplained(msgspec.Struct, frozen=True, kw_only=True):
    """One model: its load and what replicas are worth to it, in replicas' worth of work."""

    model: str
    replicas: int
    interactive_load: float
    batch_load: float
    late: float
    """Interactive load that is expected to be late with the replicas it gets."""
    late_with_one_more: float
    late_with_one_fewer: float
    verdict: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A plan with what it was made from."""

    plan: Plan
    hosts: list[HostExplained]
    models: list[ModelExplained]
    setbacks: list[Setback]
    """Hotswaps that failed lately."""
    traffic_error: str | None


def explain(fleet: Fleet, plan: Plan, snapshot: Snapshot) -> Explanation:
    """Put fleet, plan and snapshot together."""
    return Explanation(
        plan=plan,
        hosts=[_host(name, state, plan) for name, state in snapshot.states.items()],
        models=[_model(fleet, name, plan) for name in plan.verdicts],
        setbacks=snapshot.setbacks,
        traffic_error=snapshot.traffic_error,
    )


def _host(name: str, state: HostState | None, plan: Plan) -> HostExplained:
    return HostExplained(
        host=name,
        phase=state.phase if state is not None else "unreachable",
        awake_model=state.awake_model if state is not None else None,
        grant=plan.grants.get(name, ()),
        immovable=plan.immovable.get(name),
    )


def _model(fleet: Fleet, name: str, plan: Plan) -> ModelExplained:
    need = Need(model=fleet.model(name), demand=plan.demand[name], capacity=plan.capacity[name])
    replicas = plan.replicas[name]
    return ModelExplained(
        model=name,
        replicas=replicas,
        interactive_load=need.interactive,
        batch_load=need.batch,
        late=need.late(replicas),
        late_with_one_more=need.late(replicas + 1),
        late_with_one_fewer=need.late(replicas - 1),
        verdict=plan.verdicts[name],
    )
