"""What an engine host tells the traffic database: engine samples, evictions, swaps."""

import time
from typing import Protocol

from analytics.events import EngineSample, Event, Eviction, Swap
from serving.wire import GenerateRequest, HostState, SwapCommand, SwapReport, SwitchCommand


class EventSink(Protocol):
    """Takes events at once and never raises (`analytics.writer.EventWriter`)."""

    def append(self, event: Event) -> None:
        """Take the event."""


class NoEvents:
    """The sink of a host without a store."""

    def append(self, event: Event) -> None:
        """Forget the event."""


def engine_sample(state: HostState, output_tokens: int) -> EngineSample:
    """A host's load now; `output_tokens` since the last sample."""
    return EngineSample(
        sampled_at=time.time(),
        host=state.host,
        awake_model=state.awake_model,
        phase=state.phase,
        running_interactive=state.running.interactive,
        running_batch=state.running.batch,
        waiting_interactive=state.waiting.interactive,
        waiting_batch=state.waiting.batch,
        slots=state.slots,
        interactive_cap=state.interactive_cap,
        output_tokens=output_tokens,
        memory_bytes=state.memory_bytes,
        held_batch=state.held,
    )


def eviction(
    host: str, request: GenerateRequest, reason: str, kept_tokens: int, *, in_place: bool
) -> Eviction:
    """A running generation was held or handed back with `kept_tokens` output tokens."""
    return Eviction(
        evicted_at=time.time(),
        host=host,
        model=request.model,
        request_id=request.request_id,
        reason=reason,
        kept_tokens=kept_tokens,
        in_place=in_place,
    )


def swap(command: SwapCommand | SwitchCommand, report: SwapReport) -> Swap:
    """A hotswap ended, as its report says; a switch also says who asked, and what for."""
    switch = command if isinstance(command, SwitchCommand) else None
    return Swap(
        ended_at=time.time(),
        host=report.host,
        plan_id=report.plan_id,
        reason=command.reason,
        from_model=report.from_model,
        to_model=report.to_model,
        from_tier=report.from_tier,
        outcome=report.outcome,
        total_s=report.total_s,
        phases_s=report.phases_s,
        handed_back=report.handed_back,
        service_gap_s=report.service_gap_s,
        kind=report.kind,
        asked_by=switch.asked_by if switch else "",
        waited_s=switch.waited_s if switch else None,
        error=report.error,
    )
