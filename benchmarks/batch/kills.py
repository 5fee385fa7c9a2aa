"""Killing the processes of an instance while its batches run."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

from benchmarks.batch.kill_plan import PlannedKill, Victim
from benchmarks.batch.processes import program_pids, run_pids
from benchmarks.batch.samples import Kill
from benchmarks.instance import Instance

_BACK_LIMIT_S = 180.0
_VIEW_LIMIT_S = 5.0


def carry_out(
    instance: Instance, planned: PlannedKill, choice: random.Random, meanwhile: Callable[[], None]
) -> Kill:
    """Kill such a process, so long after batch requests are seen at the gateway (again).

    `meanwhile` is called all the time. Raises BenchmarkUnable if no such process comes.
    """

    def at_work() -> bool | None:
        meanwhile()
        view = _view(instance)
        return (view is not None and _requests(view) > 0) or None

    instance.until(at_work, "batch requests at the gateway", limit_s=_BACK_LIMIT_S)
    due = time.monotonic() + planned.after_s

    def struck() -> Kill | None:
        meanwhile()
        if time.monotonic() < due:
            return None
        return strike(instance, planned.victim, choice)

    return instance.until(struck, f"a {planned.victim} to kill", limit_s=_BACK_LIMIT_S)


def strike(instance: Instance, victim: Victim, choice: random.Random) -> Kill | None:
    """Kill such a process (SIGKILL, with its group); None if there is none in service now."""
    view = _view(instance)
    if view is None:
        return None
    requests = _requests(view)
    with suppress(ProcessLookupError):  # a run ends by itself too, perhaps just now
        if victim == "host":
            return _strike_host(instance, view, choice)
        if victim == "gateway":
            return _strike_program(instance, "gateway", victim, requests)
        for pid in run_pids(instance)[:1]:
            os.kill(pid, signal.SIGKILL)
            return Kill(victim, time.monotonic(), requests)
    return None


def _strike_host(instance: Instance, view: dict[str, Any], choice: random.Random) -> Kill | None:
    serving = [host for host in view["hosts"] if host["reachable"] and host["phase"] == "serving"]
    if not serving:
        return None
    host = choice.choice(serving)
    return _strike_program(instance, host["host"], "host", host["attempts"])


def _strike_program(instance: Instance, name: str, victim: Victim, in_flight: int) -> Kill | None:
    pid = program_pids(instance).get(name)
    if pid is None:
        return None
    os.killpg(pid, signal.SIGKILL)
    return Kill(victim, time.monotonic(), in_flight)


def _view(instance: Instance) -> dict[str, Any] | None:
    """The fleet as the gateway sees it; None while it is away."""
    try:
        answer = httpx.get(f"{instance.gateway}/fleet", timeout=_VIEW_LIMIT_S, trust_env=False)
        view: dict[str, Any] = answer.raise_for_status().json()
    except httpx.HTTPError:
        return None
    return view


def _requests(view: dict[str, Any]) -> int:
    """Batch requests at the gateway, with a slot or waiting for one."""
    models = view["models"]
    return sum(model["waiting"]["batch"] + model["running"]["batch"] for model in models)
