"""An engine host's state and the command that changes its awake model (JSON on the wire)."""

from typing import Annotated, Literal

import msgspec

from serving.wire.grant import SwapKind, SwapPolicy

Tier = Literal["awake", "asleep", "parked", "disk", "absent"]
IdleTier = Literal["asleep", "parked", "disk"]
HostPhase = Literal["starting", "serving", "swapping", "failed"]
SwapOutcome = Literal["committed", "unchanged", "rolled_back", "cancelled", "failed"]
DrainSeconds = Annotated[float, msgspec.Meta(ge=0, le=120)]


class ClassCounts(msgspec.Struct, frozen=True):
    """Requests on a host, by class."""

    interactive: int = 0
    batch: int = 0


class TierMove(msgspec.Struct, frozen=True):
    """A model that is not awake, on its way to a tier."""

    model: str
    tier: IdleTier


class HostState(msgspec.Struct, frozen=True, kw_only=True):
    """What a host is doing now (`GET /state`).

    `revision` grows with every change of phase, awake model, tiers or plan, and at least once a
    second while counts change; `GET /state?after=REVISION&wait_s=N` answers when it is above
    REVISION. `boot_id` differs after every restart, and revisions start over.
    """

    host: str
    boot_id: str
    revision: int
    wire_version: int
    phase: HostPhase
    awake_model: str | None
    swap_target: str | None = None
    """The model that will be awake; also in phase serving, while it wakes before the old sleeps."""
    plan_id: int
    """The last plan obeyed, by a hotswap or by a grant; 0 before the first."""
    grant: tuple[str, ...] = ()
    """The models it may have awake, as a plan said; none before the first."""
    wake_s: dict[str, float] = {}
    """For each model of a grant of several: how long a switch to it is expected to take, for the
    awake one as if it were asleep."""
    tiers: dict[str, Tier]
    running: ClassCounts
    waiting: ClassCounts
    held: int = 0
    """Batch generations evicted in place: in neither of the two counts above."""
    slots: int
    interactive_cap: int
    """Now; it follows the time per output token that interactive generations get."""
    memory_bytes: int
    """Host RAM of the host with all its engines; what they share counts once."""
    device_bytes: int = 0
    """On CUDA, memory its engines hold on the device, on each of a group; else 0."""
    versions: dict[str, str]
    hardware: str = ""
    """What its engines compute on, in words; batch-size profiles are kept for each."""
    failure: str | None = None
    """In phase failed: what is wrong."""
    moving: TierMove | None = None
    """What changes its tier in the background now."""
    tiers_wanted: list[TierMove] = []
    """Changes of tier asked for, in the order of their turn."""
    standbys: list[str] = []
    """Models kept ready before all others, first one first."""
    engine_bytes: dict[str, int] = {}
    """What the engine of each model with a process held when it was last measured."""


class SwapCommand(msgspec.Struct, frozen=True, kw_only=True):
    """`PUT /awake`: make `model` the awake model, as plan `plan_id` says.

    A plan older than the last obeyed is refused (409); the same plan and model again is answered
    with the recorded report; the same plan with another model is refused (409).
    `expected_awake`: if given, refuse (409) unless that is the awake model now, or it was before
    the host switched within its grant.
    """

    model: str
    plan_id: int
    reason: str
    expected_awake: str | None = None
    policy: SwapPolicy = "hand_back"
    """What happens to running generations: given back at once, one after the other (where another
    replica of the old model is to take them, so that no client waits for all), or first left time
    to end."""
    drain_s: DrainSeconds | None = None
    """How much time; absent: the host's own. Also for what is not evictable when handing back."""
    grant: tuple[str, ...] = ()
    """The host's from now on; none given: it stays, or is `model` alone if that is outside it."""


class SwapReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a hotswap did. `phases_s` maps each phase to its seconds, in order."""

    host: str
    plan_id: int
    from_model: str | None
    to_model: str
    outcome: SwapOutcome
    from_tier: Tier
    """Tier of the model swapped in, before the swap."""
    total_s: float
    phases_s: dict[str, float]
    handed_back: int
    """Generations given back to the gateway."""
    service_gap_s: float = 0.0
    """How long no awake model admitted."""
    kind: SwapKind = "planned"
    error: str | None = None


class Standbys(msgspec.Struct, frozen=True, kw_only=True):
    """`PUT /standbys`: the models that plan `plan_id` wants ready on a host, first one first.

    They are brought up and kept before all others, as far as the host's memory goes. Refused (409)
    for a model not in the registry and for a plan older than the last.
    """

    plan_id: int
    models: list[str]


class TierCommand(msgspec.Struct, frozen=True, kw_only=True):
    """`PUT /tiers/{model}`: bring a model that is not awake to `tier`.

    Refused (409) when the model is awake, or when the host's memory has no room for it.
    """

    tier: IdleTier


class TierReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a TierCommand did: `tier` is where the model is now."""

    host: str
    model: str
    from_tier: Tier
    tier: Tier
    total_s: float
    error: str | None = None
    """Why `tier` is not the one asked for."""


class TpotLevel(msgspec.Struct, frozen=True, kw_only=True):
    """`PUT /levels/{model}`: the TPOT that the host's interactive cap keeps to from now on.

    In place of the fleet file's, and not over a restart.
    """

    tpot_s: Annotated[float, msgspec.Meta(gt=0)]


class BatchSizePoint(msgspec.Struct, frozen=True):
    """What an engine does with so many generations computing at once."""

    batch_size: Annotated[int, msgspec.Meta(ge=1)]
    tpot_s: Annotated[float, msgspec.Meta(gt=0)]
    ttft_s: float
    tokens_per_s: float


class BatchSizeProfile(msgspec.Struct, frozen=True, kw_only=True):
    """`PUT /profiles/{model}`: an engine measured over batch sizes.

    The host's interactive cap begins from it; it is kept over restarts.
    """

    model: str
    hardware: str
    measured_at: float
    """Seconds since the epoch."""
    points: Annotated[list[BatchSizePoint], msgspec.Meta(min_length=1)]
    prompt_tokens: int = 0
    """Length of the prompts that times to first token are of; 0: not known."""
