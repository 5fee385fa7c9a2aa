"""The benchmark's fleets: one host with room for every idle engine, one with next to none. Pure.

On the roomy host other models stay asleep. On the tight one an idle engine is parked, and stopped
when another one is: so both lower tiers come about by the host's own residency. On CUDA the file's
own `host_memory_gib` stays, and lower tiers are asked for.
"""

from dataclasses import dataclass

from benchmarks.ports import free_ports
from benchmarks.setting import BenchmarkUnable
from serving.config import Fleet, HostSettings, ModelSettings
from serving.config.fleet import RandomSource

ROOMY_GIB = 8.0
TIGHT_GIB = 0.45
"""Less than an asleep engine of the packaged model, more than a parked one."""
SHAPES = ((2048, 13), (1536, 11), (1024, 12), (512, 6))
"""Width and depth of random models of about 2, 1, 0.5 and 0.1 GB in bfloat16, largest first."""
_HEAD = 64


@dataclass(frozen=True)
class SwapFleets:
    """Two fleet files over the same two hosts; each host knows the models it is measured with."""

    roomy: Fleet
    """The first model and its float32 form; the gateway's file too."""
    tight: Fleet
    """The first model, two more exactly like it, and those of random weights."""

    @property
    def first(self) -> ModelSettings:
        """The model that the stock server is started with."""
        return self.roomy.models[0]

    @property
    def exact(self) -> ModelSettings:
        """The same weights in float32."""
        return self.roomy.models[1]

    @property
    def twins(self) -> list[str]:
        """The first model and those exactly like it, on the tight host."""
        return [model.name for model in self.tight.models[:3]]

    @property
    def sized(self) -> list[ModelSettings]:
        """The models of random weights, largest first."""
        return self.tight.models[3:]


def swap_fleets(fleet: Fleet) -> SwapFleets:
    """The fleets to measure. Raises BenchmarkUnable if `fleet` has too few hosts."""
    if len(fleet.hosts) < 2:
        raise BenchmarkUnable(
            f"it has {len(fleet.hosts)} hosts",
            where="the fleet file",
            fix="A swap under load needs two hosts; config/fleet.yaml has them.",
        )
    first = _free(fleet.models[0])
    exact = first.model_copy(update={"name": f"{first.name}-float32", "dtype": "float32"})
    twins = [first.model_copy(update={"name": f"{first.name}-twin-{n}"}) for n in (1, 2)]
    ports = free_ports(6)
    roomy = _host(fleet.hosts[0], ports[4], ROOMY_GIB, first.name)
    tight = _host(fleet.hosts[1], ports[5], TIGHT_GIB, twins[0].name)
    common = {
        "gateway": fleet.gateway.model_copy(update={"port": ports[0], "address": "127.0.0.1"}),
        "store": fleet.store.model_copy(update={"port": ports[1]}),
        "dagster": fleet.dagster.model_copy(update={"port": ports[2], "code_port": ports[3]}),
    }
    # Each file is valid by itself: the other host's first model is left out.
    roomy_hosts = [roomy, tight.model_copy(update={"starts_with": None})]
    tight_hosts = [roomy.model_copy(update={"starts_with": None}), tight]
    return SwapFleets(
        fleet.model_copy(update=common | {"hosts": roomy_hosts, "models": [first, exact]}),
        fleet.model_copy(
            update=common | {"hosts": tight_hosts, "models": [first, *twins, *map(_sized, SHAPES)]}
        ),
    )


def _free(model: ModelSettings) -> ModelSettings:
    """Nothing else runs here that a cap or a bound would protect."""
    bounds = {"min_replicas": 0, "max_replicas": 2, "interactive_cap": model.slots}
    return model.model_copy(update=bounds)


def _sized(shape: tuple[int, int]) -> ModelSettings:
    width, depth = shape
    return ModelSettings(
        name=f"random-{width}x{depth}",
        source=RandomSource(
            kind="random",
            hidden_size=width,
            layers=depth,
            heads=width // _HEAD,
            vocabulary=49152,
            seed=0,
        ),
        dtype="bfloat16",
        max_model_len=512,
        kv_cache_gib=0.25,
        slots=4,
        interactive_cap=4,
    )


def _host(host: HostSettings, port: int, memory_gib: float, model: str) -> HostSettings:
    update: dict[str, object] = {"port": port, "address": "127.0.0.1"}
    if host.accelerator == "cpu":
        update["host_memory_gib"] = memory_gib
    return host.model_copy(update=update | {"starts_with": model})
