"""Which models want an engine more, the most urgent first. Pure.

One engine for a model that nobody serves; more only where the prompts that wait are more than the
engines there, or on their way, answer in time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from serving.switching.timing import BATCH_BOUND_S, patience_s
from serving.switching.view import Queue

Urgency = Literal["first", "more", "batch", "more_batch"]
"""Interactive requests without any engine, or with too few; batch requests likewise."""

_ORDER: dict[Urgency, int] = {"first": 0, "more": 1, "batch": 2, "more_batch": 3}


@dataclass(frozen=True, slots=True)
class Want:
    """Engines that a model wants."""

    model: str
    urgency: Urgency
    engines: int
    waited_s: float
    ttft_s: float
    why: str


def wants(
    queues: Mapping[str, Queue], assigned: Mapping[str | None, int], wake_s: Mapping[str, float]
) -> list[Want]:
    """All wants. `assigned`: hosts that serve each model or are about to; `wake_s`: the least."""
    found = []
    for queue in queues.values():
        if queue.model in wake_s:
            want = _want(queue, assigned.get(queue.model, 0), wake_s[queue.model])
            if want is not None:
                found.append(want)
    found.sort(key=lambda want: (_ORDER[want.urgency], -want.waited_s, want.model))
    return found


def _want(queue: Queue, assigned: int, wake_s: float) -> Want | None:
    if queue.max_replicas is not None and assigned >= queue.max_replicas:
        return None
    overdue = queue.batch > 0 and queue.batch_wait_s >= BATCH_BOUND_S
    piled = queue.prompt_work_s > 0 and assigned > 0
    if queue.interactive or piled or (overdue and not assigned):
        return _interactive(queue, assigned, wake_s)
    if queue.batch and not assigned:
        why = _waits(queue.batch, "batch", queue.batch_wait_s)
        return Want(queue.model, "batch", 1, queue.batch_wait_s, queue.ttft_s, why)
    if queue.batch_queued and assigned:
        why = f"{assigned} engines have no slot for {queue.batch_queued} batch requests"
        return Want(queue.model, "more_batch", 1, 0.0, queue.ttft_s, why)
    return None


def _interactive(queue: Queue, assigned: int, wake_s: float) -> Want | None:
    waited_s = queue.interactive_wait_s if queue.interactive else 0.0
    if queue.batch and queue.batch_wait_s >= BATCH_BOUND_S:
        waited_s = max(waited_s, queue.batch_wait_s)
    enough = _engines(queue, wake_s)
    if queue.max_replicas is not None:
        enough = min(enough, queue.max_replicas)
    if assigned >= enough:
        return None
    if assigned:
        why = f"its prompts are {queue.prompt_work_s:.1f} s of work for {assigned} engines"
        return Want(queue.model, "more", enough - assigned, waited_s, queue.ttft_s, why)
    requests = queue.interactive or queue.batch
    why = _waits(requests, "interactive" if queue.interactive else "batch", waited_s)
    return Want(queue.model, "first", enough, waited_s, queue.ttft_s, why)


def _engines(queue: Queue, wake_s: float) -> int:
    """So many that none has more prompts before it than an interactive request has patience for."""
    return 1 + int(queue.prompt_work_s / patience_s(queue.ttft_s, wake_s))


def _waits(requests: int, kind: str, waited_s: float) -> str:
    return f"{requests} {kind} request{'s wait' if requests > 1 else ' waits'}, {waited_s:.1f} s"
