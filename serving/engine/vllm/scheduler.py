"""vLLM's scheduler, held to a `Steering`. Runs in the engine core's process.

Only how a step planned in `steps` is carried out on vLLM's queues, and who loses KV cache when it
runs out. Who is held, and when, the host decides (`serving.engine.decisions`).

Between steps every request is where vLLM expects it (a held one in `running` or `waiting`), so that
ends, aborts and outputs still in flight need nothing of ours. Only while vLLM's `schedule` runs,
those that sit out are put aside.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.interface import PauseState
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.request import Request, RequestStatus

from serving.engine.protocol import Steering
from serving.engine.vllm.steering import accept_steering
from serving.engine.vllm.steps import Step, is_batch, key_of, lowest_last, plan_step


class SteeredScheduler(Scheduler):
    """vLLM's scheduler whose steps leave out what is held."""

    max_num_scheduled_tokens: int
    abandoned_steps = 0
    """So far; of a scheduler that never has one abandoned, none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._steering = Steering()
        self._unsteered = False
        """Interactive work has come to batch work alone, and the host's word on what may go on
        beside it is on its way: until then, or for one step, nothing does."""
        self._paused: list[Request] = []
        """Sit out the step that is being scheduled, with their KV cache."""
        self._displaced: list[Request] = []
        """Lost their KV cache in the step that is being scheduled; they wait from its end on."""
        # vLLM asks for blocks here only, and gives up or preempts at None.
        self._allocate = self.kv_cache_manager.allocate_slots
        self.kv_cache_manager.allocate_slots = self._allocate_or_displace
        accept_steering()

    def steer(self, steering: Steering) -> None:
        """Hold every step from now on to `steering`."""
        self._steering, self._unsteered = steering, False

    def add_request(self, request: Request) -> None:
        """Take a request that was received."""
        if not is_batch(request) and all(map(is_batch, self.requests.values())):
            self._unsteered = True
        super().add_request(request)

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """One step of vLLM's, without what sits out."""
        step = self._step()
        self._planned(step)
        self.running, self._paused = step.running, step.paused
        self.waiting.remove_requests(set(step.kept_waiting))
        self._make_places()
        try:
            with self._limited(step.token_limit):
                return super().schedule(*args, **kwargs)
        finally:
            self.running += self._paused
            self.waiting.prepend_requests([*step.kept_waiting, *self._displaced])
            self._paused, self._displaced = [], []

    def _spares_prompts(self) -> bool:
        """Whether batch work sits out the next step if an interactive prompt is computed in it."""
        return self._unsteered

    def _planned(self, step: Step) -> None:
        """Take note of `step`: it is scheduled next."""
        self._unsteered = self._unsteered and not step.without_batch

    def get_num_unfinished_requests(self) -> int:
        """Without what sits out: an engine with nothing else rests, and does not spin."""
        unfinished = int(super().get_num_unfinished_requests())
        steering = self._steering
        if not unfinished or (not steering.held and steering.batch_prefill_tokens != 0):
            return unfinished
        step = self._step()
        waits = step.kept_waiting if self.pause_state == PauseState.UNPAUSED else []
        return unfinished - len(step.paused) - len(waits)

    def _step(self) -> Step:
        return plan_step(
            self.running,
            list(self.waiting),
            self._steering,
            self.max_num_running_reqs,
            spares_prompts=self._spares_prompts(),
        )

    @contextmanager
    def _limited(self, token_limit: int | None) -> Iterator[None]:
        """Inside, a step has at most `token_limit` tokens, and no more requests than places."""
        # Older versions have one limit for what runs and what the worker has places for.
        newer = hasattr(self, "max_num_active_reqs")
        limit = "max_num_active_reqs" if newer else "max_num_running_reqs"
        tokens, running = self.max_num_scheduled_tokens, getattr(self, limit)
        if token_limit is not None:
            self.max_num_scheduled_tokens = min(tokens, token_limit)
        if self.use_v2_model_runner:
            setattr(self, limit, min(running, self.max_num_running_reqs - len(self._paused)))
        try:
            yield
        finally:
            self.max_num_scheduled_tokens = tokens
            setattr(self, limit, running)

    def _make_places(self) -> None:
        """Displace what sits out where the worker has no place left for an interactive prompt.

        Model runner V2 keeps a place for everything that has KV cache, in a step or not. As with
        blocks, a batch prompt is given a place so only when nobody runs.
        """
        if not self.use_v2_model_runner:
            return
        wanted = sum(not is_batch(request) for request in self.waiting)
        if not wanted and not self.running:
            wanted = min(1, len(self.waiting))
        taken = min(len(self.running) + wanted, self.max_num_running_reqs)
        while taken + len(self._paused) > self.max_num_running_reqs:
            if not self._displaced_one(also_not_held=True):
                return

    def _allocate_or_displace(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        """Blocks for `request`; when there are too few, those of what sits out, the lowest first.

        A batch prompt that has yet to begin displaces nobody while others run: it can wait.
        """
        while True:
            blocks = self._allocate(request, *args, **kwargs)
            waits = request.status != RequestStatus.RUNNING
            if blocks is not None or (is_batch(request) and waits and self.running):
                return blocks
            if not self._displaced_one(also_not_held=not is_batch(request)):
                return None

    def _displaced_one(self, *, also_not_held: bool) -> bool:
        """Take the KV cache of the lowest that is held, else of a batch prompt that sits out."""
        held = [r for r in self._paused if key_of(r) in self._steering.held]
        others = [r for r in self._paused if is_batch(r)] if also_not_held else []
        lowest = max(held or others, key=lowest_last, default=None)
        if lowest is None:
            return False
        self._paused.remove(lowest)
        self._preempt_request(lowest, time.monotonic())
        # vLLM is looking at the head of this queue: it must not change under it.
        self.waiting.remove_request(lowest)
        self._displaced.append(lowest)
        return True


class SteeredAsyncScheduler(SteeredScheduler, AsyncScheduler):
    """The same over vLLM's scheduler that runs a step ahead of the worker."""
