"""Killing the host that serves the kept model, and waiting for what the control plane does."""

import os
import signal
import time

from analytics.traffic import TrafficReader
from benchmarks.failover.fleet import kept_model, other_model
from benchmarks.failover.samples import Failover
from benchmarks.instance import Instance
from benchmarks.timeline import read_timeline
from turntable.supervision.supervisord import SupervisorClient

_SETTLE_S = 2.0
"""Of load on the new allocation before the next kill."""


def wait_settled(instance: Instance) -> str:
    """Wait until one host serves the kept model and the other could; the one that serves it."""
    kept, other = kept_model(instance.fleet).name, other_model(instance.fleet).name

    def settled() -> str | None:
        serving, spare = instance.replicas(kept), instance.replicas(other)
        ready = len(serving) == len(spare) == 1
        return serving[0] if ready and _could_serve(instance, spare[0], kept) else None

    return instance.until(settled, f"{kept} on one host, ready on the other")


def fail_over(instance: Instance, reader: TrafficReader) -> Failover:
    """Kill the host of the kept model; what followed."""
    kept = kept_model(instance.fleet).name
    host = wait_settled(instance)
    time.sleep(_SETTLE_S)
    killed_at, killed = time.time(), time.monotonic()
    _kill(instance, host)
    timeline = read_timeline(instance, reader, kept, killed_at)
    instance.until(lambda: _answers_again(instance, host), f"{host} serves again")
    back_s = time.monotonic() - killed
    parts = timeline.parts
    instance.say(
        f"{host} killed: {kept} on {timeline.host} after {parts.total_s:.2f} s ({parts}); "
        f"{host} served again after {back_s:.0f} s"
    )
    return Failover(timeline, host, killed, back_s)


def _could_serve(instance: Instance, host: str, model: str) -> bool:
    seen = instance.hosts().get(host)
    return seen is not None and seen["tiers"].get(model) == "asleep"


def _answers_again(instance: Instance, host: str) -> bool | None:
    """It does not before a hotswap was planned for its loss, so this is its next process."""
    seen = instance.hosts().get(host)
    return (seen is not None and seen["reachable"] and seen["phase"] == "serving") or None


def _kill(instance: Instance, host: str) -> None:
    """End the host's process group as a machine's death would: nothing of it gets a word in."""
    pids = {process.name: process.pid for process in SupervisorClient(instance.state).processes()}
    os.killpg(pids[host], signal.SIGKILL)
