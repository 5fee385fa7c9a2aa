"""The steered scheduler for engines on CPU, where every token in a step makes it longer.

How a step that the worker abandoned is undone, and what has to be so that it can be: blocks that
batch work fills are shared when they are computed, not when they are scheduled, so that nobody
finds an unfinished one in the prefix cache. And when batch work sits out for interactive prompts.
"""

import functools
from typing import Any

import structlog
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.engine.core import EngineCore
from vllm.v1.kv_cache_interface import FullAttentionSpec, SlidingWindowSpec
from vllm.v1.request import Request

from serving.engine.vllm.abandoning import AbandonedStep, Arrivals, Gate, give_gate
from serving.engine.vllm.scheduler import SteeredScheduler
from serving.engine.vllm.steps import INTERACTIVE_PRIORITY, Step, is_batch

MOST_STEPS_SPARED = 3
"""In a row, batch work sits out for interactive prompts; then it is in one. So it goes on at a
quarter of its pace at least, and at its own as soon as these prompts are computed."""

_TELLS = "turntable_tells"
"""Marks vLLM's way of receiving a request once it tells the scheduler."""

log = structlog.get_logger(__name__)


class AbandoningScheduler(SteeredScheduler):
    """Undoes a step of batch work that was abandoned for an interactive request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.arrivals = Arrivals()
        self._gate: Gate | None = None
        """None if steps of this engine cannot be abandoned."""
        self._spared = 0
        """Steps in a row that batch work has sat out for interactive prompts."""
        self._redoes = False
        """The last step of batch work alone was abandoned: the next one is not, so batch goes on
        however many requests come."""
        if (obstacle := _obstacle(self)) is None:
            self._gate = Gate(self.arrivals)
        else:
            log.info("no step of this engine is abandoned", reason=obstacle)

    def add_request(self, request: Request) -> None:
        """Take a request that was received."""
        self.arrivals.scheduler_has(request.request_id)
        super().add_request(request)

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """One step; with a gate, if it has batch work only and may be abandoned."""
        step = super().schedule(*args, **kwargs)
        names = step.num_scheduled_tokens
        if names and all(is_batch(self.requests[name]) for name in names):
            if self._gate is not None and not self._redoes:
                give_gate(step, self._gate)
            self._redoes = False
        return step

    def update_from_output(self, step: SchedulerOutput, output: Any) -> Any:
        """Give out what a step has computed; of an abandoned one nothing."""
        is_abandoned = isinstance(output, AbandonedStep)
        if is_abandoned:
            self._redoes = True
            self.abandoned_steps += 1
        if self._gate is not None:
            # One that was aborted meanwhile is gone.
            for name, tokens in step.num_scheduled_tokens.items():
                if (request := self.requests.get(name)) is not None and is_batch(request):
                    self._end_step(request, tokens, abandoned=is_abandoned)
        return super().update_from_output(step, output)

    def _spares_prompts(self) -> bool:
        return super()._spares_prompts() or self._spared < MOST_STEPS_SPARED

    def _planned(self, step: Step) -> None:
        super()._planned(step)
        self._spared = self._spared + 1 if step.without_batch else 0

    def _end_step(self, request: Request, tokens: int, *, abandoned: bool) -> None:
        if not abandoned:
            self.kv_cache_manager.cache_blocks(request, request.num_computed_tokens)
            return
        # It keeps its blocks: the same tokens are written to the same places.
        request.num_computed_tokens -= tokens
        request.is_prefill_chunk = request.num_computed_tokens < request.num_tokens - 1

    def _allocate_or_displace(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        if self._gate is not None and is_batch(request):
            kwargs["delay_cache_blocks"] = True
        return super()._allocate_or_displace(request, *args, **kwargs)


def _obstacle(scheduler: Any) -> str | None:
    """Why steps of this engine cannot be abandoned; None if they can."""
    parallel = scheduler.vllm_config.parallel_config
    groups = scheduler.kv_cache_config.kv_cache_groups
    if parallel.world_size > 1 or scheduler.use_v2_model_runner:
        return "its worker is in other processes or keeps counts of its own"
    if scheduler.scheduler_config.async_scheduling or scheduler.num_spec_tokens:
        return "it schedules ahead"
    if any(type(g.kv_cache_spec) not in (FullAttentionSpec, SlidingWindowSpec) for g in groups):
        return "its model keeps state that computing twice would change"
    if not _hear_of_arrivals():
        return "this version of vLLM receives requests in another way"
    return None


def _hear_of_arrivals() -> bool:
    """Have engine cores of this process tell their scheduler what they receive, when they do."""
    # As with steering: an attribute of the class leaves vLLM's way of starting engine cores alone.
    receive = getattr(EngineCore, "preprocess_add_request", None)
    if receive is None or hasattr(receive, _TELLS):
        return receive is not None

    @functools.wraps(receive)
    def received(core: Any, request: Any) -> Any:
        prepared, scheduler = receive(core, request), core.scheduler
        if isinstance(scheduler, AbandoningScheduler) and request.priority <= INTERACTIVE_PRIORITY:
            scheduler.arrivals.received(request.request_id)
        return prepared

    setattr(received, _TELLS, True)
    EngineCore.preprocess_add_request = received
    return True
