"""What `turntable status` shows of hotswaps."""

from io import StringIO

from rich.console import Console

from analytics.swap_activity import SwapActivity
from turntable.status.tables import _hosts, _swaps


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
