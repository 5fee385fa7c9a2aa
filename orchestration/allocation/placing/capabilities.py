"""Capabilities: which models each host cannot be given, and why. Pure."""

from collections.abc import Mapping

from serving.config import Fleet

Excluded = Mapping[str, str]
"""Models that a host cannot be given, and why."""


def exclusions(fleet: Fleet) -> list[Excluded]:
    """For every host of the fleet, in its order. Hosts that are alike share theirs."""
    by_kind: dict[object, Excluded] = {}
    found = []
    for host in fleet.hosts:
        memory = (host.host_memory_gib, host.device_memory_gib)
        kind = (host.accelerator, len(host.devices), memory)
        if kind not in by_kind:
            reasons = {model.name: host.why_not(model) for model in fleet.models}
            by_kind[kind] = {name: why for name, why in reasons.items() if why is not None}
        found.append(by_kind[kind])
    return found
