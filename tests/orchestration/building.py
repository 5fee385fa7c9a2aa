"""Fleets, host states and traffic rows, made short."""

from msgspec.structs import replace

from analytics.traffic import ModelTraffic
from serving.config.fleet import (
    AllocationSettings,
    Fleet,
    HostSettings,
    ModelSettings,
    RandomSource,
    ServiceLevels,
)
from serving.wire import (
    WIRE_VERSION,
    BatchSizePoint,
    BatchSizeProfile,
    ClassCounts,
    HostPhase,
    HostState,
    Tier,
)


def a_model(
    name: str,
    *,
    least: int = 0,
    most: int = 8,
    tokens_per_s: float = 100,
    tpot_s: float = 0.1,
) -> ModelSettings:
    return ModelSettings(
        name=name,
        source=RandomSource(kind="random"),
        min_replicas=least,
        max_replicas=most,
        replica_tokens_per_s=tokens_per_s,
        slots=8,
        interactive_cap=2,
        service_levels=ServiceLevels(ttft_s=2, tpot_s=tpot_s),
    )


def a_fleet(models: list[ModelSettings], hosts: int, *, cooldown_s: float = 20) -> Fleet:
    """Its hosts do not share time, unless a test says so."""
    return Fleet(
        hosts=[HostSettings(name=f"host-{n}", port=8101 + n) for n in range(hosts)],
        models=models,
        allocation=AllocationSettings(window_s=10, cooldown_s=cooldown_s, time_sharing=False),
    )


def a_state(
    host: str,
    awake: str | None,
    *,
    phase: HostPhase = "serving",
    plan_id: int = 0,
    tiers: dict[str, Tier] | None = None,
    interactive: int = 0,
    batch: int = 0,
    swap_target: str | None = None,
    failure: str | None = None,
    held: int = 0,
    hardware: str = "a machine",
) -> HostState:
    return HostState(
        host=host,
        boot_id="boot",
        revision=1,
        wire_version=WIRE_VERSION,
        phase=phase,
        awake_model=awake,
        swap_target=swap_target,
        plan_id=plan_id,
        tiers=tiers or {},
        running=ClassCounts(interactive=interactive, batch=batch),
        waiting=ClassCounts(),
        slots=8,
        interactive_cap=2,
        memory_bytes=1,
        versions={},
        failure=failure,
        held=held,
        hardware=hardware,
    )


def traffic(
    model: str,
    *,
    batch: bool = False,
    waiting: int = 0,
    running: int = 0,
    tokens_per_s: float = 0.0,
    ended: int = 10,
) -> ModelTraffic:
    return ModelTraffic(
        model=model,
        request_class="batch" if batch else "interactive",
        window_s=10,
        arrivals=ended,
        ended=ended,
        waiting=waiting,
        running=running,
        prompt_tokens_per_s=tokens_per_s / 2,
        output_tokens_per_s=tokens_per_s / 2,
    )


def squeezed(
    row: ModelTraffic, *, held: float = 0.0, capped: float = 1.0, cap: float = 2.0
) -> ModelTraffic:
    """The batch row of a model on whose replicas interactive work holds batch to the cap."""
    return replace(row, held=held, capped_replicas=capped, mean_cap=cap)


def a_profile(
    model: str,
    sizes: list[tuple[int, float, float]],
    *,
    hardware: str = "a machine",
    ttft_s: float = 0.1,
    prompt_tokens: int = 0,
) -> BatchSizeProfile:
    """A profile of (batch size, TPOT in seconds, output tokens a second)."""
    return BatchSizeProfile(
        model=model,
        hardware=hardware,
        measured_at=1.0,
        points=[
            BatchSizePoint(batch_size=size, tpot_s=tpot_s, ttft_s=ttft_s, tokens_per_s=rate)
            for size, tpot_s, rate in sizes
        ],
        prompt_tokens=prompt_tokens,
    )
