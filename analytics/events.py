"""The events that are recorded, one struct a table.

A struct's fields are its table's columns, in order; times are seconds since the epoch (`_at`) or
durations in seconds (`_s`). What is derived from events is a view (`analytics.store.schema`).
"""

from typing import ClassVar, Literal

import msgspec

RequestClass = Literal["interactive", "batch"]
Outcome = Literal["completed", "cancelled", "rejected", "failed"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events."""

    table: ClassVar[str]


class RequestArrived(Event, frozen=True, kw_only=True):
    """A request was accepted by the gateway. Appended at once, so that demand is seen early."""

    table: ClassVar[str] = "request_arrivals"

    arrived_at: float
    request_id: str
    model: str
    request_class: RequestClass
    endpoint: str
    deadline_s: float | None = None
    """How long after its arrival the batch that it is of is due, if that was said."""


class RequestEnded(Event, frozen=True, kw_only=True):
    """A request left the gateway, however it ended. One for each `RequestArrived`."""

    table: ClassVar[str] = "requests"

    ended_at: float
    arrived_at: float
    request_id: str
    model: str
    request_class: RequestClass
    endpoint: str
    outcome: Outcome
    status: int
    """HTTP status answered."""
    queue_s: float | None
    """From arrival to the first slot on a host."""
    ttft_s: float | None
    tpot_s: float | None
    """Mean time per output token after the first; None below two tokens."""
    total_s: float
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int
    """Prompt tokens found in a prefix cache, first attempt."""
    recomputed_tokens: int
    """Tokens prefilled again on resumes (prompt and output, less what was cached)."""
    attempts: int
    evictions: int
    hosts: list[str]
    """Hosts that served it, in order."""
    account: str = ""
    """Whose API key it came with; empty without one."""
    held_s: float = 0.0
    """How long it was evicted in place."""
    saved_tokens: int = 0
    """Prompt and output tokens that resumes found in a prefix cache, or kept by being held."""
    longest_gap_s: float | None = None
    """Longest time between two of its tokens; None below two."""
    error: str | None = None


class GatewaySample(Event, frozen=True, kw_only=True):
    """What the gateway holds for one model and class, about once a second and on change."""

    table: ClassVar[str] = "gateway_samples"

    sampled_at: float
    model: str
    request_class: RequestClass
    waiting: int
    """Requests without a slot: no replica, or queued on a host."""
    running: int


class EngineSample(Event, frozen=True, kw_only=True):
    """A host's load, about once a second."""

    table: ClassVar[str] = "engine_samples"

    sampled_at: float
    host: str
    awake_model: str | None
    phase: str
    running_interactive: int
    running_batch: int
    waiting_interactive: int
    waiting_batch: int
    slots: int
    interactive_cap: int
    output_tokens: int
    """Tokens generated since the last sample."""
    memory_bytes: int
    held_batch: int = 0
    """Batch generations evicted in place."""


class Eviction(Event, frozen=True, kw_only=True):
    """A host took a running generation off the running batch."""

    table: ClassVar[str] = "evictions"

    evicted_at: float
    host: str
    model: str
    request_id: str
    reason: str
    kept_tokens: int
    in_place: bool = False
    """It is held on the engine and goes on there, unless the gateway takes it elsewhere."""


class Swap(Event, frozen=True, kw_only=True):
    """A hotswap ended on a host: planned, or a switch among the models the host may have awake."""

    table: ClassVar[str] = "swaps"

    ended_at: float
    host: str
    plan_id: int
    """The plan that asked for it, or that granted the host both models."""
    reason: str
    from_model: str | None
    to_model: str
    from_tier: str
    outcome: str
    total_s: float
    phases_s: dict[str, float]
    handed_back: int
    service_gap_s: float = 0.0
    """How long no awake model admitted."""
    kind: str = "planned"
    """`planned` or `switch`."""
    asked_by: str = ""
    """Who decided a switch; planned ones are decided by their plan."""
    waited_s: float | None = None
    """How long the first request for the model had waited when a switch was decided."""
    error: str | None = None


class PlanMade(Event, frozen=True, kw_only=True):
    """The control plane decided an allocation (also when it moved nothing)."""

    table: ClassVar[str] = "plans"

    made_at: float
    plan_id: int
    trigger: str
    run_id: str | None
    moves: list[dict[str, str]]
    """`host`, `from_model`, `to_model`, `reason` of each move."""
    replicas: dict[str, int]
    overrides: list[str] = []
    """Operators' overrides in force, in words."""


class Evaluation(Event, frozen=True, kw_only=True):
    """The control plane looked and asked for nothing, and why. Recorded on change, not always."""

    table: ClassVar[str] = "evaluations"

    evaluated_at: float
    plan_id: int
    """The last plan made."""
    because: str
    wanted: str
    """What it would ask for; empty if nothing."""
    verdicts: dict[str, str]
    """For every model: why it has the replicas it has."""
    replicas: dict[str, int]
    overrides: list[str]
    """Operators' overrides in force, in words."""


class BatchSizePoint(Event, frozen=True, kw_only=True):
    """What an engine did with so many generations running: one point of a batch-size profile."""

    table: ClassVar[str] = "batch_size_points"

    measured_at: float
    """The same for all points of a profile."""
    model: str
    hardware: str
    host: str
    run_id: str
    batch_size: int
    prompt_tokens: int
    """Length of the prompts that times to first token are of."""
    output_tokens: int
    tokens_per_s: float
    """Output tokens of all generations together."""
    tpot_p50_s: float
    tpot_p99_s: float
    ttft_p50_s: float
    ttft_p99_s: float
    disturbed: int
    """Rounds thrown away because other work was on the engine."""


EVENT_TYPES: tuple[type[Event], ...] = (
    RequestArrived,
    RequestEnded,
    GatewaySample,
    EngineSample,
    Eviction,
    Swap,
    PlanMade,
    Evaluation,
    BatchSizePoint,
)
