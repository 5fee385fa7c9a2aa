"""What `turntable status` shows of overrides, hosts and hotswaps."""

import time
from io import StringIO

from rich.console import Console

from analytics.swap_activity import SwapActivity
from orchestration.allocation.operators.overrides import Override, Pin
from turntable.status.collect import Status
from turntable.status.tables import _hosts, _swaps, as_tables
from turntable.supervision.instance import Instance


def shown(table: object) -> str:
    page = StringIO()
    Console(file=page, width=160).print(table)
    return page.getvalue()


def test_switches_are_shown_apart_from_planned_hotswaps() -> None:
    common = {"host": "h-0", "failed": 0, "handed_back": 2, "latest_at": 0.0}
    rows = [
        SwapActivity(
            kind="planned",
            committed=1,
            took_p50_s=4.0,
            waited_p50_s=None,
            latest_model="a",
            **common,
        ),
        SwapActivity(
            kind="switch", committed=7, took_p50_s=0.5, waited_p50_s=0.2, latest_model="b", **common
        ),
    ]
    planned, switched = shown(_swaps(rows)).splitlines()[-2:]
    assert planned.split() == ["h-0", "planned", "1", "0", "4.000", "s", "-", "2", "a"]
    assert switched.split()[:3] == ["h-0", "switch", "7"]


def test_a_host_is_shown_with_its_grant() -> None:
    host = {
        "host": "h-0",
        "reachable": True,
        "phase": "serving",
        "awake_model": "a",
        "grant": ["a", "b"],
        "running": {},
        "waiting": {},
        "slots": 4,
        "interactive_cap": 2,
        "memory_bytes": 0,
        "tiers": {},
    }
    assert "a, b" in shown(_hosts([host]))


def test_what_operators_told_is_shown_with_the_time_it_has_left() -> None:
    now = time.time()
    told = Pin(host="h-0", grant=("a",), made_at=now, until=now + 5400, by="ada", note="repair")
    assert overrides_in(status(overrides=[told])) == "h-0 is pinned to a"
    assert overrides_in(status(overrides=[])) is None


def status(overrides: list[Override]) -> Status:
    instance = Instance(
        pid=1,
        pid_created_at=0.0,
        phase="ready",
        fleet_file="fleet.yaml",
        state="state",
        logs="logs",
        gateway="http://127.0.0.1:1",
        dagster="http://127.0.0.1:2",
        default_model="a",
        started_at=0.0,
    )
    return Status(
        instance=instance,
        processes=[],
        hosts=[],
        models=[],
        traffic=[],
        swaps=[],
        overrides=overrides,
        problems=[],
    )


def overrides_in(shown_status: Status) -> str | None:
    """What the page says of overrides, up to when they end."""
    lines = [line.strip() for line in shown(as_tables(shown_status)).splitlines()]
    if "overrides" not in lines:
        return None
    return lines[lines.index("overrides") + 1].split(" until ")[0].strip()
