"""Drift: how the hosts differ from what the last plan said. Pure.

A host that has another model of its grant awake than the plan's first one does not: it switches
among them by itself. What operators have changed since the plan is no drift of the hosts.
"""

from collections.abc import Mapping

from orchestration.allocation.plan import Plan
from serving.wire import HostState


def host_drift(before: Plan | None, now: Plan, states: Mapping[str, HostState | None]) -> list[str]:
    """What is not as plan `before` left it, in words; empty if all is.

    `now` is a plan for these `states`: it says which hosts serve at all.
    """
    if before is None:
        return ["there is no plan yet"]
    moved = {move.host: move.from_model for move in now.moves}
    said = []
    for host, state in states.items():
        model = moved[host] if host in moved else _model(state, now.grants.get(host, ()))
        words = _differs(model, before.grants.get(host, ()), state, f"plan {before.plan_id}")
        if words is not None:
            said.append(f"{host} {words}")
    return said


def _model(state: HostState | None, grant: tuple[str, ...]) -> str | None:
    """The model that a host serves or is being given; None for one that cannot serve now."""
    if not grant or state is None:
        return None
    if state.phase in ("starting", "failed"):
        return state.swap_target or grant[0]
    return state.swap_target or state.awake_model


def _differs(
    model: str | None, granted: tuple[str, ...], state: HostState | None, plan: str
) -> str | None:
    names = ", ".join(granted)
    if model is None:
        return f"does not serve {names} any more" if granted else None
    if not granted:
        return f"is back with {model}"
    if model not in granted:
        return f"serves {model}, {plan} says {names}"
    if state is not None and frozenset(state.grant) != frozenset(granted):
        return f"has not been told that {plan} grants it {names}"
    return None
