"""The plan of now, explained: data for JSON, and a page that reads well at 100 columns.

Everything is said by the plan itself; here it is put in order.
"""

import time
from collections.abc import Iterator

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestration.allocation import Plan
from orchestration.allocation.setbacks import Setback
from orchestration.allocation.snapshot import Snapshot
from serving.wire import HostState
from turntable.commands.overrides import overrides_table


class HostExplained(msgspec.Struct, frozen=True, kw_only=True):
    """One host: what it does, what it may have awake, and why it cannot be moved, if so."""

    host: str
    phase: str
    awake_model: str | None
    grant: tuple[str, ...]
    immovable: str | None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A plan with what it was made from."""

    plan: Plan
    hosts: list[HostExplained]
    setbacks: list[Setback]
    """Hotswaps that failed lately."""
    traffic_error: str | None


def explain(plan: Plan, snapshot: Snapshot) -> Explanation:
    """Put plan and snapshot together."""
    return Explanation(
        plan=plan,
        hosts=[_host(name, state, plan) for name, state in snapshot.states.items()],
        setbacks=snapshot.setbacks,
        traffic_error=snapshot.traffic_error,
    )


def page(explanation: Explanation) -> RenderableType:
    """The explanation for people."""
    return Group(*_parts(explanation))


def _host(name: str, state: HostState | None, plan: Plan) -> HostExplained:
    return HostExplained(
        host=name,
        phase=state.phase if state is not None else "unreachable",
        awake_model=state.awake_model if state is not None else None,
        grant=plan.grants.get(name, ()),
        immovable=plan.immovable.get(name),
    )


def _parts(explanation: Explanation) -> Iterator[RenderableType]:
    plan = explanation.plan
    if explanation.traffic_error:
        yield Text(f"without traffic statistics: {explanation.traffic_error}", style="yellow")
    if plan.overrides:
        yield overrides_table(plan.overrides, time.time(), "overrides")
        yield Text()
    yield from _moves(plan)
    yield Text()
    yield _hosts(explanation.hosts)
    for model in plan.verdicts:
        yield Text()
        yield from _model(model, plan)


def _moves(plan: Plan) -> Iterator[RenderableType]:
    if not plan.moves:
        yield Text("Nothing would move.")
    for move in plan.moves:
        grant = f" (may have {', '.join(move.grant)})" if len(move.grant) > 1 else ""
        yield Text(f"{move.host}: {move.from_model or 'nothing'} -> {move.to_model}{grant}", "bold")
        yield _below(move.reason)
    for host in plan.regrants:
        yield Text(f"{host}: may have {', '.join(plan.grants[host])} from now on", "bold")


def _hosts(hosts: list[HostExplained]) -> Table:
    table = Table(box=None)
    for heading in ("host", "now", "may have awake", "not to be moved because it"):
        table.add_column(heading)
    for host in hosts:
        now = host.awake_model or "nothing"
        table.add_row(
            host.host,
            now if host.phase == "serving" else f"{host.phase} ({now})",
            ", ".join(host.grant) or "-",
            host.immovable or "-",
        )
    return table


def _model(model: str, plan: Plan) -> Iterator[RenderableType]:
    demand, capacity = plan.demand[model], plan.capacity[model]
    yield Text(f"{model}  {plan.replicas[model]} replicas", "bold")
    yield _below(
        f"demand    {demand.interactive_tokens_per_s:.0f} tokens/s interactive "
        f"({demand.running_interactive} running, {demand.waiting_interactive} waiting), "
        f"{demand.batch_tokens_per_s:.0f} batch ({demand.running_batch} running, "
        f"{demand.waiting_batch} waiting, {demand.held_batch} of them held)"
    )
    yield _below(f"capacity  {capacity.tokens_per_s:.0f} tokens/s a replica, {capacity.source}")
    yield _below(f"verdict   {plan.verdicts[model]}")


def _below(text: str) -> RenderableType:
    label, _, rest = text.partition("  ")
    if not rest:
        return Padding(Text(text), (0, 0, 0, 4))
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(width=8, no_wrap=True)
    table.add_column(ratio=1)
    table.add_row(label, rest.strip())
    return Padding(table, (0, 0, 0, 4))
