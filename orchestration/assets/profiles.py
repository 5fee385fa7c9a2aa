"""Batch-size profiles: what each model does at each batch size, measured on a real engine."""

import asyncio
import base64
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import dagster as dg
import msgspec
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from pydantic import Field

from analytics.events import BatchSizePoint
from analytics.writer import EventWriter
from orchestration import tables
from orchestration.allocation.reading.snapshot import host_client
from orchestration.errors import ProfileError
from orchestration.installation import Installation
from orchestration.names import OWNERS, PROFILE_TAGS, PROFILES, serving_key
from orchestration.profiling.delivery import deliver
from orchestration.profiling.figures import SizeFigures, batch_sizes, profile_of
from orchestration.profiling.plots import draw
from orchestration.profiling.record import ProfileRecord
from serving.config import Fleet
from serving.errors import HostError, WireError
from serving.wire import BatchSizeProfile, HostState

CHECK = "every_size_measured_and_no_slower"
NOISE = 0.1
"""Share by which throughput may fall from one batch size to the next and still be called noise."""


class ProfileConfig(dg.Config):
    """How a model is measured."""

    host: str = Field(default="", description="where; empty: a host that serves the model")
    prompt_tokens: int = Field(default=128, ge=1, description="length of every prompt")
    output_tokens: int = Field(default=48, ge=8, description="tokens timed in a round")
    rounds: int = Field(default=3, ge=1, description="rounds at each batch size")
    probes: int = Field(default=4, ge=1, description="times to first token taken in a round")
    disturbed_rounds: int = Field(
        default=5, ge=0, description="rounds at one batch size that other work may spoil"
    )
    quiet_s: float = Field(
        default=60, ge=0, description="how long to wait for the work of others to leave"
    )
    round_s: float = Field(default=180, gt=0, description="longest time of a round")


def profile_assets(fleet: Fleet) -> list[dg.AssetsDefinition]:
    """The profiles, one partition a model."""

    @dg.asset(
        key=PROFILES,
        deps=[serving_key(model.name) for model in fleet.models],
        partitions_def=dg.StaticPartitionsDefinition([model.name for model in fleet.models]),
        description="Throughput, time per output token and time to first token over batch size, "
        "measured on the engine of a host where the model is awake. Kept for each model and "
        "hardware; hosts take their first interactive cap from it, the planner a replica's "
        "capacity.",
        group_name="serving",
        kinds={"vllm", "json"},
        owners=OWNERS,
        tags={"turntable/plane": "data"},
        op_tags=PROFILE_TAGS,
        check_specs=[
            dg.AssetCheckSpec(
                CHECK,
                asset=PROFILES,
                description="Every batch size up to the slots was measured, and none gives "
                f"over {NOISE:.0%} less throughput than the one before.",
            )
        ],
    )
    def batch_size_profiles(
        context: dg.AssetExecutionContext, config: ProfileConfig, installation: Installation
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        model = context.partition_key
        try:
            state, figures = _measured(context, config, installation, model)
        except (ProfileError, HostError, WireError) as error:
            raise dg.Failure(str(error)) from error
        profile = profile_of(model, state.hardware, time.time(), config.prompt_tokens, figures)
        _append(installation, _events(profile, state.host, context.run.run_id, config, figures))
        yield dg.MaterializeResult(
            metadata={
                **_metadata(installation.fleet, profile, figures),
                "measured on": state.host,
                "file": dg.MetadataValue.path(
                    str(ProfileRecord.of(installation.state).write(profile))
                ),
                "given to": _deliver(context, installation, profile),
            }
        )
        yield check(figures, state.slots)

    return [batch_size_profiles]


def profile_job() -> UnresolvedAssetJobDefinition:
    """The job that measures a model; all of them by a backfill over its partitions."""
    return dg.define_asset_job(
        "profiles",
        selection=dg.AssetSelection.assets(PROFILES),
        description="Measure what a model does at each batch size.",
        tags=PROFILE_TAGS,
        executor_def=dg.in_process_executor,
    )


def check(figures: Sequence[SizeFigures], slots: int) -> dg.AssetCheckResult:
    """See that the profile is whole and plausible."""
    measured = {one.batch_size for one in figures}
    missing = [size for size in batch_sizes(slots) if size not in measured]
    slower = [
        f"{after.batch_size}: {after.tokens_per_s:.0f} tokens/s after {before.tokens_per_s:.0f}"
        for before, after in pairwise(figures)
        if after.tokens_per_s < (1 - NOISE) * before.tokens_per_s
    ]
    return dg.AssetCheckResult(
        asset_key=PROFILES,
        check_name=CHECK,
        passed=not (missing or slower),
        metadata={
            "missing": ", ".join(map(str, missing)) or "none",
            "slower": ", ".join(slower) or "none",
        },
    )


def _measured(
    context: dg.AssetExecutionContext,
    config: ProfileConfig,
    installation: Installation,
    model: str,
) -> tuple[HostState, list[SizeFigures]]:
    # Not above: an allocation run imports this module too, and has no time for an HTTP client.
    from orchestration.profiling.measuring import Measurement, measure
    from orchestration.profiling.place import target_on, where_awake

    fleet, folder = installation.fleet, installation.state
    state = where_awake(fleet, folder, model, config.host)
    target = target_on(fleet, folder, state, model)
    measurement = Measurement(
        name=f"profile.{context.run.run_id}",
        **config.model_dump(exclude={"host"}),
    )
    context.log.info(f"{model} is measured on {state.host} ({state.hardware})")
    return state, asyncio.run(measure(target, measurement, context.log.info))


def _events(
    profile: BatchSizeProfile,
    host: str,
    run_id: str,
    config: ProfileConfig,
    figures: Sequence[SizeFigures],
) -> list[BatchSizePoint]:
    return [
        BatchSizePoint(
            measured_at=profile.measured_at,
            model=profile.model,
            hardware=profile.hardware,
            host=host,
            run_id=run_id,
            prompt_tokens=config.prompt_tokens,
            output_tokens=config.output_tokens,
            **msgspec.structs.asdict(one),
        )
        for one in figures
    ]


def _append(installation: Installation, events: Sequence[BatchSizePoint]) -> None:
    """Record the points in the store; what it does not take in time is in the file anyway."""
    store = installation.fleet.store
    writer = EventWriter(
        store.address, store.port, installation.state.token("store"), source="orchestration"
    )
    for event in events:
        writer.append(event)
    writer.close()


def _deliver(
    context: dg.AssetExecutionContext, installation: Installation, profile: BatchSizeProfile
) -> str:
    """Give the profile to every host of its hardware; in words, who has it."""
    given = []
    for host in installation.fleet.hosts:
        try:
            with host_client(installation.fleet, installation.state, host.name) as client:
                given += [host.name] if deliver(client, [profile]) else []
        except HostError as error:
            context.log.warning(f"not given to {host.name}, the next allocation run does: {error}")
    return ", ".join(given) or "none"


def _metadata(
    fleet: Fleet, profile: BatchSizeProfile, figures: Sequence[SizeFigures]
) -> dict[str, Any]:
    picture = base64.b64encode(draw(figures, fleet.model(profile.model).service_levels)).decode()
    return {
        "picture": dg.MetadataValue.md(f"![over batch size](data:image/png;base64,{picture})"),
        "points": tables.sizes_table(figures),
        "hardware": profile.hardware,
        "prompt tokens": profile.prompt_tokens,
        "largest tokens/s": round(max(one.tokens_per_s for one in figures), 1),
    }
