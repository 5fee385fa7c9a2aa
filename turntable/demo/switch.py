"""Where hosts share their time: a request makes one switch within its grant, without any run."""

import time

from turntable.demo.observation import Observation
from turntable.demo.outside import Outside
from turntable.demo.runs import hotswap_since, runs_asked_for
from turntable.demo.shift import ask, model_without_replica

_GRANTED_S = 120.0
"""The first plan is made when the hosts are there."""


def show_switch(outside: Outside, observation: Observation) -> None:
    """Ask a model that nobody serves and a host may switch to; then find the switch."""
    model = outside.wait_for(
        "a plan by which a host may switch to a model without a replica",
        lambda: _granted_without_replica(outside),
        _GRANTED_S,
    )
    asked_at = time.time()
    ask(outside, observation, model)
    answered_at = time.time()
    swap = hotswap_since(outside, model, asked_at)
    observation.expect(
        swap["kind"] == "switch",
        f"{swap['kind']} on {swap['host']}: {swap['from_model']} -> {model} "
        f"({swap['from_tier']}), {swap['total_s']:.1f} s, within what plan {swap['plan_id']} "
        f"grants it: {', '.join(_grant(outside, swap['host']))}",
    )
    runs = runs_asked_for(outside, asked_at, answered_at)
    observation.note(f"allocation runs asked for between the request and its answer: {runs}")


def _granted_without_replica(outside: Outside) -> str | None:
    model = model_without_replica(outside)
    granted = {name for host in outside.hosts() for name in host.get("grant", ())}
    return model if model in granted else None


def _grant(outside: Outside, name: str) -> list[str]:
    return next(host["grant"] for host in outside.hosts() if host["host"] == name)
