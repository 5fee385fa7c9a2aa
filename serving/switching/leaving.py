"""When a host may be left for a model that waits, and what that costs. Pure."""

from dataclasses import dataclass

from serving.switching.timing import (
    BATCH_WAIT_S,
    LATE_RESUMES,
    LENT_AFTER_S,
    last_call_s,
    patience_s,
    stay_s,
    too_late,
    wake_s,
)
from serving.switching.view import Queue, SharedHost
from serving.switching.wants import Want


@dataclass(frozen=True, slots=True)
class Leaving:
    """One host for one want."""

    host: SharedHost
    in_s: float
    """When it may be left; 0: now."""
    cost: tuple[float, bool, int, int, float, str]
    """To compare hosts by: seconds until the model serves and those that are left are served
    again, then what else tells them apart. Less is better."""


def leaving(host: SharedHost, want: Want, *, queue: Queue | None, others: int) -> Leaving | None:
    """How `host` could be left for `want`; None if it may not be.

    `queue`: what waits for the model it serves. `others`: further hosts that serve that model.
    """
    if want.urgency in ("batch", "more_batch"):
        in_s = _for_batch(host, want, queue)
    else:
        in_s = _for_interactive(host, want, queue, others)
    if in_s is None:
        return None
    again_s = stay_s(host) if not others else host.resume_s
    seconds = in_s + wake_s(host, want.model) + (again_s if host.interactive else 0.0)
    running = host.interactive + host.batch
    rest = (not others, host.unanswered, running, -host.unused_for_s, host.name)
    return Leaving(host, in_s, (round(seconds, 3), *rest))


def _for_interactive(
    host: SharedHost, want: Want, queue: Queue | None, others: int
) -> float | None:
    queued = queue is not None and queue.interactive > 0
    if not host.interactive and not queued:
        return 0.0
    wakes_s = wake_s(host, want.model)
    late = too_late(want.ttft_s, wakes_s, want.waited_s)
    stays_s = max(0.0, stay_s(host, resumes=LATE_RESUMES if late else 1.0) - host.awake_for_s)
    unserved = host.unanswered > 0 or queued
    if want.urgency == "more":
        return None
    if others:
        return stays_s
    bound_s = last_call_s if unserved else patience_s
    waits_s = bound_s(want.ttft_s, wakes_s) - want.waited_s
    return max(stays_s, waits_s)


def _for_batch(host: SharedHost, want: Want, queue: Queue | None) -> float | None:
    if host.interactive or (queue is not None and queue.interactive):
        return None
    unused = not host.batch and (queue is None or not queue.batch)
    if want.urgency == "more_batch":
        return max(0.0, LENT_AFTER_S - host.unused_for_s) if unused else None
    if unused:
        return max(0.0, stay_s(host) - host.unused_for_s)
    return max(0.0, BATCH_WAIT_S - host.awake_for_s, BATCH_WAIT_S - want.waited_s)
