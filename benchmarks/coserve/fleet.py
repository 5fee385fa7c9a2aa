"""The benchmark's fleets: one host that is measured, a second one for evictions to land on. Pure.

The first model of the user's fleet is entered once a size, each with the service level that the
size is held to, and once in float32 for comparing rows. A host has one of them awake. The second
host's file knows the heavy one only, so it keeps no engine that it does not need.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.coserve.workload import SIZES, Size
from benchmarks.servers import free_ports
from benchmarks.setting import BenchmarkUnable
from serving.config import Fleet, HostSettings, ModelSettings

LEVEL_OVER_ALONE = 1.1
"""Service level for TPOT over what interactive work gets alone; the bound is 1.15."""
_HOST_GIB = 8.0


@dataclass(frozen=True)
class CoserveFleets:
    """Fleet files over the same two hosts."""

    first: Fleet
    """For the first host and the gateway."""
    second: Fleet
    """For the second host."""

    def sized(self, size: Size) -> ModelSettings:
        """The model that `size` is measured on."""
        return self.first.models[SIZES.index(size)]

    @property
    def exact(self) -> ModelSettings:
        """The same weights in float32."""
        return self.first.models[-1]

    @property
    def calibration(self) -> "CoserveFleets":
        """The first model only: nothing is loaded beside what is measured."""
        models = {"models": self.first.models[:1]}
        return CoserveFleets(self.first.model_copy(update=models), self.second)

    def with_levels(self, tpot_s: Mapping[str, float]) -> "CoserveFleets":
        """The same with service levels for TPOT, by name of size."""
        by_model = {self.sized(size).name: tpot_s[size.name] for size in SIZES}
        return CoserveFleets(_levelled(self.first, by_model), _levelled(self.second, by_model))


def coserve_fleets(fleet: Fleet) -> CoserveFleets:
    """The fleets to measure. Raises BenchmarkUnable if `fleet` has too few hosts."""
    if len(fleet.hosts) < 2:
        raise BenchmarkUnable(
            f"it has {len(fleet.hosts)} hosts",
            where="the fleet file",
            fix="Evictions that land elsewhere need two hosts; config/fleet.yaml has them.",
        )
    free = {"min_replicas": 0, "max_replicas": 2}
    base = fleet.models[0].model_copy(update=free)
    sized = [base.model_copy(update={"name": f"{base.name}-{size.name}"}) for size in SIZES]
    exact = base.model_copy(
        update={"name": f"{base.name}-float32", "dtype": "float32", "slots": min(16, base.slots)}
    )
    ports = free_ports(6)
    first = _host(fleet.hosts[0], ports[4])
    second = _host(fleet.hosts[1], ports[5])
    common = {
        "gateway": fleet.gateway.model_copy(update={"port": ports[0], "address": "127.0.0.1"}),
        "store": fleet.store.model_copy(update={"port": ports[1], "address": "127.0.0.1"}),
        "dagster": fleet.dagster.model_copy(update={"port": ports[2], "code_port": ports[3]}),
    }
    awake = first.model_copy(update={"starts_with": sized[0].name})
    return CoserveFleets(
        fleet.model_copy(update=common | {"hosts": [awake, second], "models": [*sized, exact]}),
        fleet.model_copy(update=common | {"hosts": [first, second], "models": sized[-1:]}),
    )


def _host(host: HostSettings, port: int) -> HostSettings:
    update = {"port": port, "address": "127.0.0.1", "host_memory_gib": _HOST_GIB}
    return host.model_copy(update=update | {"starts_with": None})


def _levelled(fleet: Fleet, tpot_s: Mapping[str, float]) -> Fleet:
    def levelled(model: ModelSettings) -> ModelSettings:
        if model.name not in tpot_s:
            return model
        levels = model.service_levels.model_copy(update={"tpot_s": tpot_s[model.name]})
        return model.model_copy(update={"service_levels": levels})

    return fleet.model_copy(update={"models": [levelled(model) for model in fleet.models]})
