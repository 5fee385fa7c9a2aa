"""Plans for people: the explanation of a plan, and the history. They read well at 100 columns."""

import time
from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestration.allocation import Plan
from orchestration.allocation.operators.overrides import Override
from turntable.durations import in_words
from turntable.plans.explanation import Explanation, HostExplained, ModelExplained
from turntable.plans.history import Decision


def explanation_page(explanation: Explanation) -> RenderableType:
    """Overrides, moves, hosts, and every model with its numbers."""
    return Group(*_explanation(explanation))


def history_page(decisions: list[Decision]) -> RenderableType:
    """Decisions, latest first."""
    if not decisions:
        return Text("Nothing was decided yet.")
    return Group(*(part for decision in decisions for part in _decision(decision)))


def overrides_table(shown: Iterable[Override], now: float, title: str) -> RenderableType:
    """Overrides with the time each has left."""
    table = Table(box=None, title=title, title_justify="left", show_header=False)
    table.add_column("override")
    table.add_column("left", no_wrap=True)
    for override in shown:
        table.add_row(override.words, f"{in_words(max(0.0, override.until - now))} left")
    return table


def _explanation(explanation: Explanation) -> Iterator[RenderableType]:
    plan = explanation.plan
    if explanation.traffic_error:
        yield Text(f"without traffic statistics: {explanation.traffic_error}", style="yellow")
    if plan.overrides:
        yield overrides_table(plan.overrides, time.time(), "overrides")
        yield Text()
    yield from _moves(plan)
    yield Text()
    yield _hosts(explanation.hosts)
    for model in explanation.models:
        yield Text()
        yield _model(model, plan)


def _moves(plan: Plan) -> Iterator[RenderableType]:
    if not (plan.moves or plan.regrants):
        yield Text("Nothing would move.")
    for move in plan.moves:
        among = f" (one of {', '.join(move.grant)})" if len(move.grant) > 1 else ""
        came = move.from_model or "nothing"
        yield Text(f"{move.host}: {came} -> {move.to_model}{among}", "bold")
        yield _indented(move.reason)
    for host in plan.regrants:
        yield Text(f"{host}: may have {', '.join(plan.grants[host])} from now on", "bold")


def _hosts(hosts: list[HostExplained]) -> Table:
    table = Table(box=None)
    for heading in ("host", "now", "may have awake", "not movable because it"):
        table.add_column(heading)
    for host in hosts:
        awake = host.awake_model or "nothing"
        table.add_row(
            host.host,
            awake if host.phase == "serving" else f"{host.phase} ({awake})",
            ", ".join(host.grant) or "-",
            host.immovable or "-",
        )
    return table


def _model(model: ModelExplained, plan: Plan) -> RenderableType:
    demand, capacity = plan.demand[model.model], plan.capacity[model.model]
    table = Table(box=None, show_header=False, title_justify="left", title_style="bold")
    table.title = f"{model.model}: {model.replicas} replica{'' if model.replicas == 1 else 's'}"
    table.add_column("what", no_wrap=True)
    table.add_column("said")
    for request_class, tokens_per_s, load, running, waiting in (
        (
            "interactive",
            demand.interactive_tokens_per_s,
            model.interactive_load,
            demand.running_interactive,
            demand.waiting_interactive,
        ),
        (
            "batch",
            demand.batch_tokens_per_s,
            model.batch_load,
            demand.running_batch,
            demand.waiting_batch,
        ),
    ):
        table.add_row(
            request_class,
            f"{tokens_per_s:.1f} tokens/s, {load:.2f} replicas' work; "
            f"{running} running, {waiting} waiting",
        )
    table.add_row("capacity", f"{capacity.tokens_per_s:.0f} tokens/s a replica {capacity.source}")
    table.add_row("worth", _worth(model))
    table.add_row("verdict", model.verdict)
    return table


def _worth(model: ModelExplained) -> str:
    fewer = f", with one fewer {model.late_with_one_fewer:.3f}" if model.replicas else ""
    return (
        f"{model.late:.3f} replicas' work expected late, "
        f"with one more {model.late_with_one_more:.3f}{fewer}"
    )


def _decision(decision: Decision) -> Iterator[RenderableType]:
    at = decision.decided.strftime("%Y-%m-%d %H:%M:%S UTC")
    what = f"plan {decision.plan_id}" if decision.kind == "plan" else "no run asked for"
    yield Text(f"{at}  {what}", "bold")
    yield _indented(decision.because)
    for override in decision.overrides:
        yield _indented(f"override: {override}")
    for move in decision.moves:
        came = move["from_model"] or "nothing"
        yield _indented(f"{move['host']}: {came} -> {move['to_model']}, {move['reason']}")


def _indented(text: str) -> RenderableType:
    return Padding(Text(text), (0, 0, 0, 4))
