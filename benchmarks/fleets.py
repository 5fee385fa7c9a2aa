"""Fleets of benchmarks that start a whole instance: on free ports, on this machine. Pure."""

from collections.abc import Sequence

from benchmarks.ports import free_ports
from benchmarks.setting import BenchmarkUnable
from serving.config import Fleet, HostSettings, ModelSettings

COOLDOWN_S = 5.0
"""Shorter than a fleet's usual one: many moves in a row, nothing else competes."""


def whole_fleet(
    fleet: Fleet,
    models: Sequence[ModelSettings],
    awake: Sequence[ModelSettings],
    *,
    time_sharing: bool = False,
) -> Fleet:
    """`fleet` with these models on its first hosts, `awake` being what each of those starts with.

    Unless `time_sharing`, no host switches by itself: every change goes through the control plane.
    Raises BenchmarkUnable if the fleet has too few hosts.
    """
    if len(fleet.hosts) < len(awake):
        raise BenchmarkUnable(
            f"it has {len(fleet.hosts)} hosts, and {len(awake)} are needed",
            where="the fleet file",
            fix="Name one with more hosts; config/fleet.yaml has two.",
        )
    ports = free_ports(4 + len(awake))
    hosts = [
        _host(host, model, port)
        for host, model, port in zip(fleet.hosts, awake, ports[4:], strict=False)
    ]
    return fleet.model_copy(
        update={
            "gateway": fleet.gateway.model_copy(update={"port": ports[0]}),
            "store": fleet.store.model_copy(update={"port": ports[1]}),
            "dagster": fleet.dagster.model_copy(update={"port": ports[2], "code_port": ports[3]}),
            "allocation": fleet.allocation.model_copy(
                update={"cooldown_s": COOLDOWN_S, "time_sharing": time_sharing}
            ),
            "hosts": hosts,
            "models": list(models),
        }
    )


def bounded(model: ModelSettings, least: int, most: int) -> ModelSettings:
    """`model` with these bounds on its replicas."""
    return model.model_copy(update={"min_replicas": least, "max_replicas": most})


def require_models(fleet: Fleet, number: int) -> None:
    """Raise BenchmarkUnable if `fleet` has fewer models."""
    if len(fleet.models) < number:
        raise BenchmarkUnable(
            f"it has {len(fleet.models)} models, and {number} are needed",
            where="the fleet file",
            fix="Name one with more models; config/fleet.yaml has three.",
        )


def _host(host: HostSettings, model: ModelSettings, port: int) -> HostSettings:
    update = {"starts_with": model.name, "port": port, "address": "127.0.0.1"}
    return host.model_copy(update=update)
