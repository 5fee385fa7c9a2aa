"""The live serving state of every model: one asset a model, made true by hotswaps.

A graph: start all hotswaps of the plan, wait for each, verify that the hosts agree with the plan,
materialize the models whose hosts changed and check every model's minimum.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from analytics.errors import StoreError
from analytics.swap_activity import SwapActivity, swap_activity
from analytics.traffic import TrafficReader
from orchestration import tables
from orchestration.allocation.plan import Plan
from orchestration.allocation.reading.snapshot import host_client, read_state
from orchestration.hotswaps import Hotswaps, SwapOrder, SwapResult, grants, orders
from orchestration.installation import Installation
from orchestration.names import OWNERS, PLAN, serving_key
from serving.config import Fleet, ModelSettings, StateFolder
from serving.wire import HostState

VERIFY_S = 10.0
VERIFY_EVERY_S = 0.1
ACTIVITY_OF_S = 600.0
MINIMUM_CHECK = "minimum_replicas"

States = Mapping[str, HostState | None]


def serving_assets(fleet: Fleet, weights: Mapping[str, dg.AssetKey]) -> dg.AssetsDefinition:
    """The serving assets of a fleet; `weights` names the checkpoint asset of every model."""
    outs = {f"model_{n}": model for n, model in enumerate(fleet.models)}
    checks = [minimum_check(model) for model in fleet.models]
    loaded = {f"weights_{n}": key for n, key in enumerate(sorted(set(weights.values())))}
    graph = _graph(outs, checks, list(loaded))
    assets = dg.AssetsDefinition.from_graph(
        graph,
        keys_by_input_name={"plan": PLAN, **loaded},
        keys_by_output_name={out: serving_key(model.name) for out, model in outs.items()},
        internal_asset_deps={out: {PLAN, weights[model.name]} for out, model in outs.items()},
        check_specs=checks,
        group_name="serving",
    )
    described = {serving_key(model.name): model for model in fleet.models}
    return assets.map_asset_specs(lambda spec: _described(spec, described[spec.key]))


def minimum_check(model: ModelSettings) -> dg.AssetCheckSpec:
    """The check that a model has the replicas it must always have."""
    return dg.AssetCheckSpec(
        MINIMUM_CHECK,
        asset=serving_key(model.name),
        description=f"{model.name} has its minimum of replicas: {model.min_replicas}.",
    )


def hosts_of(model: str, states: States) -> list[str]:
    """Hosts that are replicas of `model`."""
    return [
        host
        for host, state in states.items()
        if state is not None and state.phase == "serving" and state.awake_model == model
    ]


def serving_metadata(model: ModelSettings, states: States) -> dict[str, Any]:
    """A model's serving state, for materializations and observations."""
    hosts = hosts_of(model.name, states)
    serving = [state for host in hosts if (state := states[host]) is not None]
    may = [host for host, state in states.items() if state and model.name in state.grant]
    return {
        "replicas": len(hosts),
        "replicas wanted": f"{model.min_replicas} to {model.max_replicas}",
        "replica hosts": ", ".join(hosts) or "none",
        "hosts that may serve it": ", ".join(may) or "none",
        "running": sum(s.running.interactive + s.running.batch for s in serving),
        "waiting on hosts": sum(s.waiting.interactive + s.waiting.batch for s in serving),
    }


def _described(spec: dg.AssetSpec, model: ModelSettings) -> dg.AssetSpec:
    return spec.replace_attributes(
        description=f"Which engine hosts serve {model.name} now. Materialized when an allocation "
        "changes it, observed in between.",
        kinds={"vllm"},
        owners=OWNERS,
        metadata={
            "context length": model.max_model_len,
            "dtype": model.dtype,
            "slots": model.slots,
            "interactive cap": model.interactive_cap,
        },
    ).merge_attributes(tags={"turntable/plane": "data"})


def _graph(
    outs: Mapping[str, ModelSettings], checks: list[dg.AssetCheckSpec], loaded: list[str]
) -> dg.GraphDefinition:
    """The ops of an allocation, wired."""
    results = [*outs, *(check.get_python_identifier() for check in checks)]

    @dg.op(
        name="start_hotswaps",
        description="Tell every host what it may have awake, and what to have ready; tell those "
        "that are to change.",
        ins={"plan": dg.In(Plan), **{name: dg.In(dg.Nothing) for name in loaded}},
        out=dg.DynamicOut(SwapOrder),
    )
    def start_hotswaps(plan: Plan, hotswaps: Hotswaps) -> Iterator[dg.DynamicOutput[SwapOrder]]:
        commands = orders(plan)
        hotswaps.grant(plan)
        hotswaps.want(plan)
        hotswaps.start(commands)
        for order in commands:
            key = order.host.replace("-", "_")
            yield dg.DynamicOutput(order, mapping_key=key)

    @dg.op(
        name="verify",
        description="See that the hosts agree with the plan.",
        ins={"plan": dg.In(Plan), "swaps": dg.In(list)},
        out={
            **{name: dg.Out(dg.Nothing, is_required=False) for name in outs},
            **{check.get_python_identifier(): dg.Out() for check in checks},
        },
    )
    def verify(
        context: dg.OpExecutionContext,
        plan: Plan,
        swaps: list[SwapResult],
        installation: Installation,
    ) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
        states = settled_states(installation.fleet, installation.state, plan, swaps)
        activity = _swap_activity(installation) if swaps or plan.changed else []
        yield from _materialized(outs, plan, swaps, states, activity)
        yield from (_minimum(model, states) for model in outs.values())
        _fail_if_any_failed(plan, swaps, states)

    @dg.graph(
        name="serving",
        ins={name: dg.GraphIn() for name in ("plan", *loaded)},
        out={name: dg.GraphOut() for name in results},
    )
    def serving(plan: Any, **weights: Any) -> dict[str, Any]:
        started = start_hotswaps(plan, **weights)
        verified = verify(plan=plan, swaps=started.map(hotswap).collect())
        return {name: getattr(verified, name) for name in results}

    return serving


@dg.op(description="Wait for one host's hotswap.")
def hotswap(context: dg.OpExecutionContext, order: SwapOrder, hotswaps: Hotswaps) -> SwapResult:
    """Wait for one host's hotswap. A failure is reported by `verify`, after all have ended."""
    started = time.monotonic()
    result = hotswaps.result(order)
    command, report = order.command, result.report
    metadata: dict[str, Any] = {
        "host": order.host,
        "to": command.model,
        "reason": command.reason,
        "waited_s": round(time.monotonic() - started, 3),
        "report": tables.swaps_table([report] if report is not None else []),
    }
    if result.error is not None:
        context.log.error(result.error)
        metadata["error"] = result.error
    context.add_output_metadata(metadata)
    return result


def settled_states(
    fleet: Fleet, state: StateFolder, plan: Plan, swaps: list[SwapResult]
) -> dict[str, HostState | None]:
    """States of all hosts, once those that were told something say so too (within a moment)."""
    deadline = time.monotonic() + VERIFY_S
    states: dict[str, HostState | None] = {}
    for host in fleet.hosts:
        with host_client(fleet, state, host.name) as client:
            states[host.name] = read_state(client)
            while time.monotonic() < deadline and _differences(plan, swaps, states):
                time.sleep(VERIFY_EVERY_S)
                states[host.name] = read_state(client)
    return states


def _differences(plan: Plan, swaps: list[SwapResult], states: States) -> list[str]:
    """What hosts do other than they were told, in words. A host that is away says nothing.

    Which model of several a host has awake is its own business.
    """
    said = []
    for host, grant in grants(plan).items():
        state = states.get(host)
        if state is not None and frozenset(state.grant) != frozenset(grant.models):
            told, has = ", ".join(grant.models), ", ".join(state.grant) or "nothing"
            said.append(f"{host}: it was granted {told} and says {has}")
    for command, state in (
        (s.order.command, states.get(s.order.host)) for s in swaps if s.succeeded
    ):
        if state is not None and not _serves_one_of(state, command.grant or (command.model,)):
            said.append(f"{state.host}: it reported {command.model} but serves something else")
    return said


def _serves_one_of(state: HostState, models: tuple[str, ...]) -> bool:
    model = state.swap_target or state.awake_model
    return state.phase in ("serving", "swapping") and model in models


def _materialized(
    outs: Mapping[str, ModelSettings],
    plan: Plan,
    swaps: list[SwapResult],
    states: States,
    activity: list[SwapActivity],
) -> Iterator[dg.Output[None]]:
    """The models whose hosts changed: by this plan's hotswaps, or since the plan before."""
    reports = [swap.report for swap in swaps if swap.report is not None]
    touched = {name for report in reports for name in (report.from_model, report.to_model)}
    for name, model in outs.items():
        if model.name in touched or model.name in plan.changed:
            metadata = serving_metadata(model, states) | {
                "plan_id": plan.plan_id,
                "trigger": plan.trigger,
                "why": plan.verdicts[model.name],
                "hosts": tables.hosts_table(states),
                "hotswaps": tables.swaps_table(reports),
                "hotswaps and switches of the last minutes": tables.swap_activity_table(activity),
            }
            yield dg.Output(None, name, metadata=metadata)


def _swap_activity(installation: Installation) -> list[SwapActivity]:
    """What hosts did lately, switches too; nothing while the store is away."""
    store, state = installation.fleet.store, installation.state
    try:
        with TrafficReader(store.address, store.port, state.token("store")) as reader:
            return swap_activity(reader, ACTIVITY_OF_S)
    except StoreError as error:
        dg.get_dagster_logger().warning(f"what hosts did lately is not known: {error}")
        return []


def _minimum(model: ModelSettings, states: States) -> dg.AssetCheckResult:
    hosts = hosts_of(model.name, states)
    return dg.AssetCheckResult(
        asset_key=serving_key(model.name),
        check_name=MINIMUM_CHECK,
        passed=len(hosts) >= model.min_replicas,
        metadata={"minimum": model.min_replicas, "replicas": len(hosts)},
    )


def _fail_if_any_failed(plan: Plan, swaps: list[SwapResult], states: States) -> None:
    """Fail the run for hotswaps that failed, and for hosts that do not do what they were told."""
    problems = [swap.error for swap in swaps if swap.error is not None]
    problems += _differences(plan, swaps, states)
    if problems:
        raise dg.Failure(
            "; ".join(problems),
            metadata={
                "hosts": tables.hosts_table(states),
                "hotswaps": tables.swaps_table([s.report for s in swaps if s.report is not None]),
            },
            allow_retries=False,
        )
