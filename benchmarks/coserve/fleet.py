"""The benchmark's fleets: one host that is measured, a second one for evictions to land on. Pure.

The first model of the user's fleet is entered once a size, because each size is held to a service
level of its own, and once in float32 for comparing rows. A host has one of them awake. The second
host's file knows the heavy one only, so it keeps no engine that it does not need.
"""

from dataclasses import dataclass

from benchmarks.coserve.workload import SIZES, Size
from benchmarks.ports import free_ports
from benchmarks.setting import BenchmarkUnable
from serving.config import Fleet, HostSettings, ModelSettings

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
