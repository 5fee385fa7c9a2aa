"""The benchmark's fleet: the user's models on free ports, arranged so that arms are alike.

The chat model has one replica that never moves, as the stock server is one engine. The second
host is the one that traffic shifts move between the other two models. Pure.
"""

from benchmarks.servers import free_ports
from benchmarks.setting import BenchmarkUnable
from serving.config import Fleet, HostSettings, ModelSettings

COOLDOWN_S = 5.0
"""Shorter than a fleet's usual one: several shifts in a row, nothing else competes."""


def bench_fleet(fleet: Fleet) -> Fleet:
    """The fleet to measure. Raises BenchmarkUnable if `fleet` has too few hosts or models."""
    if len(fleet.hosts) < 2 or len(fleet.models) < 3:
        raise BenchmarkUnable(
            f"it has {len(fleet.hosts)} hosts and {len(fleet.models)} models",
            where="the fleet file",
            fix="The loop needs two hosts and three models; config/fleet.yaml has them.",
        )
    ports = free_ports(6)
    chat, *shifted = fleet.models[:3]
    models = [_chat_model(chat), *(_bounds(model, 0) for model in shifted)]
    hosts = [
        _host(host, model, port)
        for host, model, port in zip(fleet.hosts[:2], models, ports[4:], strict=False)
    ]
    return fleet.model_copy(
        update={
            "gateway": fleet.gateway.model_copy(update={"port": ports[0]}),
            "store": fleet.store.model_copy(update={"port": ports[1]}),
            "dagster": fleet.dagster.model_copy(update={"port": ports[2], "code_port": ports[3]}),
            "allocation": fleet.allocation.model_copy(update={"cooldown_s": COOLDOWN_S}),
            "hosts": hosts,
            "models": models,
        }
    )


def _chat_model(model: ModelSettings) -> ModelSettings:
    # No batch work runs here, so the cap would only keep streams waiting that vLLM lets in.
    return _bounds(model, 1).model_copy(update={"interactive_cap": model.slots})


def _bounds(model: ModelSettings, least: int) -> ModelSettings:
    return model.model_copy(update={"min_replicas": least, "max_replicas": 1})


def _host(host: HostSettings, model: ModelSettings, port: int) -> HostSettings:
    update = {"starts_with": model.name, "port": port, "address": "127.0.0.1"}
    return host.model_copy(update=update)
