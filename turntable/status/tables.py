"""The status as tables: a status in, something rich can print out."""

import time
from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from analytics.swap_activity import SwapActivity
from analytics.traffic import ModelTraffic
from turntable.plans.pages import overrides_table
from turntable.status.collect import SWAPS_OF_S, Status
from turntable.supervision.supervisord import ProcessInfo

_GIB = 1024**3


def as_tables(status: Status) -> RenderableType:
    """Overrides, hosts, models, traffic, hotswaps, processes, and what did not answer."""
    problems = [Text(problem, style="red") for problem in status.problems]
    title = Text(f"Turntable  {status.instance.gateway}/v1   Dagster {status.instance.dagster}")
    return Group(
        title,
        *problems,
        *_overrides(status),
        _hosts(status.hosts),
        _models(status.models),
        _traffic(status.traffic),
        _swaps(status.swaps),
        _processes(status.processes),
    )


def _table(title: str, *headings: str) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", box=None, title_style="bold")
    for heading in headings:
        table.add_column(heading)
    return table


def _overrides(status: Status) -> Iterator[RenderableType]:
    """Nothing where nobody told anything, which is the rule."""
    if status.overrides:
        yield overrides_table(status.overrides, time.time(), "\noverrides")


def _hosts(hosts: list[dict[str, Any]]) -> Table:
    table = _table(
        "hosts",
        *("host", "phase", "awake", "grant", "running i/b", "waiting i/b"),
        *("slots", "memory", "tiers"),
    )
    for host in hosts:
        if not host.get("reachable") or "phase" not in host:
            table.add_row(host["host"], "[red]unreachable[/]")
            continue
        awake = host["awake_model"] or "-"
        if host.get("swap_target"):
            awake = f"{awake} -> {host['swap_target']}"
        others = {name: tier for name, tier in host["tiers"].items() if tier != "awake"}
        table.add_row(
            host["host"],
            host["phase"],
            awake,
            ", ".join(host.get("grant", ())) or "-",
            _pair(host["running"]),
            _pair(host["waiting"]),
            f"{host['slots']} (cap {host['interactive_cap']})",
            f"{host['memory_bytes'] / _GIB:.1f} GiB",
            ", ".join(f"{name} {tier}" for name, tier in others.items()),
        )
    return table


def _models(models: list[dict[str, Any]]) -> Table:
    table = _table("models", "model", "replicas", "running i/b", "waiting i/b")
    for model in models:
        table.add_row(
            model["name"],
            ", ".join(model["replicas"]) or "-",
            _pair(model.get("running", {})),
            _pair(model.get("waiting", {})),
        )
    return table


def _pair(counts: dict[str, int]) -> str:
    return f"{counts.get('interactive', 0)} / {counts.get('batch', 0)}"


def _traffic(rows: list[ModelTraffic]) -> Table:
    window = f", last {rows[0].window_s:.0f} s" if rows else ""
    table = _table(
        f"traffic{window}",
        *("model", "class", "arrived", "ended", "failed", "tokens/s in", "out"),
        *("TTFT p50/p95", "TPOT p50/p95", "evictions"),
    )
    for row in rows:
        table.add_row(
            row.model,
            row.request_class,
            str(row.arrivals),
            str(row.ended),
            str(row.failed),
            f"{row.prompt_tokens_per_s:.0f}",
            f"{row.output_tokens_per_s:.0f}",
            f"{_seconds(row.ttft_p50_s)} / {_seconds(row.ttft_p95_s)}",
            f"{_seconds(row.tpot_p50_s)} / {_seconds(row.tpot_p95_s)}",
            str(row.evictions),
        )
    return table


def _swaps(rows: list[SwapActivity]) -> Table:
    """Planned hotswaps and switches within a grant, apart."""
    table = _table(
        f"hotswaps, last {SWAPS_OF_S / 60:.0f} min",
        *("host", "kind", "made", "failed", "took p50", "waited p50", "handed back", "latest"),
    )
    for row in rows:
        table.add_row(
            row.host,
            row.kind,
            str(row.committed),
            str(row.failed),
            _seconds(row.took_p50_s),
            _seconds(row.waited_p50_s),
            str(row.handed_back),
            row.latest_model,
        )
    return table


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"


def _processes(processes: list[ProcessInfo]) -> Table:
    table = _table("processes", "process", "state", "")
    for process in processes:
        style = "green" if process.state == "RUNNING" else "yellow"
        table.add_row(process.name, f"[{style}]{process.state.lower()}[/]", process.description)
    return table
