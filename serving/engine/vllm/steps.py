"""Who takes part in one step of an engine's scheduler, in which order, with how many tokens.

Pure: looks at vLLM's requests, changes none. Carrying it out is the scheduler's.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vllm.v1.request import Request, RequestStatus

from serving.engine.protocol import Steering

INTERACTIVE_PRIORITY = 0
BATCH_PRIORITY = 1
"""Of a request, as vLLM orders them: the lower goes first."""

KEY_ARGUMENT = "turntable_key"
"""Under which our key travels with a request: vLLM's own ids of requests end in random letters."""


@dataclass(frozen=True)
class Step:
    """One step, as it is to be scheduled."""

    running: list[Request]
    """Take part, those that decode first; of equals, interactive first."""
    paused: list[Request]
    """Are in the running batch and sit this step out, with their KV cache."""
    kept_waiting: list[Request]
    """Wait, and may not begin in this step."""
    token_limit: int | None
    """At most so many tokens in all; None: the engine's own limit."""
    without_batch: bool = False
    """Interactive prompts are computed with no batch work beside them."""


def key_of(request: Request) -> str | None:
    """Our key of a request of vLLM's; None for one that is not ours."""
    parameters = request.sampling_params
    carried = None if parameters is None else parameters.extra_args
    return None if carried is None else carried.get(KEY_ARGUMENT)


def is_batch(request: Request) -> bool:
    """Whether it is of the batch class."""
    return bool(request.priority > INTERACTIVE_PRIORITY)


def lowest_last(request: Request) -> tuple[int, float, str]:
    """The order in which places are kept: by class, then the older first."""
    return request.priority, request.arrival_time, request.request_id


def plan_step(
    running: Collection[Request],
    waiting: Collection[Request],
    steering: Steering,
    slots: int,
    *,
    spares_prompts: bool = False,
) -> Step:
    """Held requests sit out; so do batch prompts while an interactive prompt has yet to begin.

    An interactive prompt then shares its first step with decodes only, and from its second step on
    it stands before batch prompts; with `spares_prompts` no batch work is in a step with it.
    `slots` are the running requests that fit into a step.
    """
    held = steering.held
    begins = any(
        not is_batch(request) and key_of(request) not in held and _can_begin(request)
        for request in waiting
    )
    closed = begins or steering.batch_prefill_tokens == 0
    without_batch = spares_prompts and (begins or _has_interactive_prompt(running, held))

    def sits_out(request: Request, *, prompt: bool) -> bool:
        closed_to_it = without_batch or (closed and prompt)
        return key_of(request) in held or (closed_to_it and is_batch(request))

    taking: list[Request] = []
    paused: list[Request] = []
    for request in running:
        out = sits_out(request, prompt=request.is_prefill_chunk)
        (paused if out else taking).append(request)
    if len(taking) > slots:
        taking.sort(key=lowest_last)
        paused += taking[slots:]
        del taking[slots:]
    taking.sort(key=lambda request: (request.is_prefill_chunk, request.priority))
    return Step(
        running=taking,
        paused=paused,
        kept_waiting=[request for request in waiting if sits_out(request, prompt=True)],
        token_limit=None if closed else _token_limit(taking, steering.batch_prefill_tokens),
        without_batch=without_batch,
    )


def _has_interactive_prompt(running: Iterable[Request], held: Collection[str]) -> bool:
    return any(r.is_prefill_chunk and not is_batch(r) and key_of(r) not in held for r in running)


def _can_begin(request: Request) -> bool:
    return request.status in (RequestStatus.WAITING, RequestStatus.PREEMPTED)


def _token_limit(taking: list[Request], batch_prefill_tokens: int | None) -> int | None:
    """What all others want, and the budget of batch prompts, which are scheduled last."""
    if batch_prefill_tokens is None:
        return None
    others = [r for r in taking if not (is_batch(r) and r.is_prefill_chunk)]
    wanted: int = sum(
        r.num_tokens_with_spec + r.num_output_placeholders - r.num_computed_tokens for r in others
    )
    return batch_prefill_tokens + wanted
