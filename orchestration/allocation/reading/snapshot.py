"""Reading the fleet and its traffic: the effects that feed the planner.

A snapshot is complete even when parts are away: an unreachable host is a fact to plan with, and
without the traffic store the hosts' own counts still say who is busy.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import stamina

from analytics.traffic import ModelTraffic
from orchestration.allocation.load.demand import NO_OUTLOOK, Outlook
from orchestration.allocation.operators.override_record import OverrideRecord
from orchestration.allocation.operators.overrides import Override
from orchestration.allocation.operators.setbacks import Setback, avoided
from orchestration.allocation.placing.swap_cost import SwapCost, assumed_swap_cost
from orchestration.allocation.plan import Plan
from orchestration.allocation.planner import propose
from orchestration.allocation.reading.record import PlanRecord
from orchestration.allocation.reading.traffic_source import (
    ANSWER_S,
    Asked,
    TrafficSource,
    TrafficView,
)
from orchestration.profiling.record import ProfileRecord
from serving.clients.host import HostClient
from serving.config import Fleet, StateFolder
from serving.errors import HostDown, HostUnreachable
from serving.wire import BatchSizeProfile, HostState

UNREACHABLE_AFTER_S = 1.0
"""A host that does not answer for this long is taken for unreachable."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Fleet and traffic at one moment: all that a plan is made from."""

    taken_at: float
    states: dict[str, HostState | None]
    """State of every host; None: unreachable."""
    traffic: list[ModelTraffic]
    traffic_error: str | None
    """Why there are no traffic statistics, or only old ones, if so."""
    swapped_at: dict[str, float]
    last_plan: Plan | None
    profiles: list[BatchSizeProfile] = []
    """What replicas were measured to do."""
    overrides: tuple[Override, ...] = ()
    """What operators told, also what has ended."""
    setbacks: list[Setback] = []
    outlook: Outlook = NO_OUTLOOK
    """What traffic is to be expected."""
    swap_cost: SwapCost = assumed_swap_cost


def host_client(fleet: Fleet, state: StateFolder, host: str) -> HostClient:
    """A client of one engine host of the fleet."""
    settings = fleet.host(host)
    return HostClient(settings.address, settings.port, state.token("admin"))


def read_state(client: HostClient) -> HostState | None:
    """A host's state; None when it stays without an answer."""
    try:
        for attempt in stamina.retry_context(
            on=_may_answer_yet, timeout=UNREACHABLE_AFTER_S, wait_initial=0.1, wait_max=0.3
        ):
            with attempt:
                return client.state()
    except HostUnreachable:
        return None
    raise AssertionError("stamina neither returned nor raised")


def _may_answer_yet(error: Exception) -> bool:
    return isinstance(error, HostUnreachable) and not isinstance(error, HostDown)


def take_snapshot(fleet: Fleet, state: StateFolder) -> Snapshot:
    """Ask every host and the traffic store, side by side."""
    source = TrafficSource(Asked.of(fleet, state), answer_s=ANSWER_S)
    clients = [host_client(fleet, state, host.name) for host in fleet.hosts]
    with ThreadPoolExecutor(len(clients)) as pool:
        states = pool.map(read_state, clients)
        traffic = source.read()
        source.close()
        by_host = dict(zip((host.name for host in fleet.hosts), states, strict=True))
    return snapshot_of(by_host, traffic, state)


def snapshot_of(
    states: dict[str, HostState | None], traffic: TrafficView, state: StateFolder
) -> Snapshot:
    """Put together what was read with what the state folder keeps.

    The last plan's moves count as swaps from when it was made.
    """
    last_plan = PlanRecord.of(state).read()
    since = dict(traffic.swapped_at)
    if last_plan is not None:
        for move in last_plan.moves:
            since[move.host] = max(since.get(move.host, 0.0), last_plan.made_at)
    return Snapshot(
        taken_at=time.time(),
        states=states,
        traffic=traffic.rows,
        traffic_error=traffic.error,
        swapped_at=since,
        last_plan=last_plan,
        profiles=ProfileRecord.of(state).read(),
        overrides=OverrideRecord.of(state).read(),
        setbacks=traffic.setbacks,
        outlook=traffic.outlook,
        swap_cost=traffic.swap_cost,
    )


def plan_from(fleet: Fleet, snapshot: Snapshot, *, trigger: str) -> Plan:
    """The plan for a snapshot."""
    last = snapshot.last_plan
    plan = propose(
        fleet,
        snapshot.states,
        snapshot.traffic,
        now=snapshot.taken_at,
        profiles=snapshot.profiles,
        swapped_at=snapshot.swapped_at,
        last_plan_id=last.plan_id if last is not None else 0,
        trigger=trigger,
        outlook=snapshot.outlook,
        swap_cost=snapshot.swap_cost,
        overrides=snapshot.overrides,
        avoided=avoided(snapshot.setbacks, snapshot.taken_at),
    )
    return msgspec.structs.replace(plan, changed=changed_models(last, plan))


def changed_models(before: Plan | None, after: Plan) -> tuple[str, ...]:
    """Models that other hosts may serve after one plan than after the one before."""
    if before is None:
        return tuple(after.replicas)
    hosts = before.grants.keys() | after.grants.keys()
    differing = {
        model
        for host in hosts
        for model in {*before.grants.get(host, ())} ^ {*after.grants.get(host, ())}
    }
    return tuple(model for model in after.replicas if model in differing)
