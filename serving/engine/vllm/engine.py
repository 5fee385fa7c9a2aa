"""One engine: an AsyncLLM in this process, its engine core in a process of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import structlog
from vllm.exceptions import VLLMClientError
from vllm.inputs.engine import tokens_input
from vllm.outputs import RequestOutput
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.executor import Executor

from serving.config import HostSettings, ModelSettings
from serving.engine.memory import proportional_bytes
from serving.engine.process.context import EngineProcesses, started_by
from serving.engine.protocol import (
    DeviceMemory,
    EngineFailed,
    EngineOutput,
    RequestRefused,
    SleepLevel,
    Steering,
)
from serving.engine.vllm.arguments import engine_config
from serving.engine.vllm.held_memory import HeldMemory, held_memory
from serving.engine.vllm.sampling import (
    prompt_ids,
    prompt_token_logprobs,
    sampling_params,
    token_logprobs,
)
from serving.engine.vllm.steering import send_steering
from serving.engine.vllm.steps import BATCH_PRIORITY, INTERACTIVE_PRIORITY
from serving.weights import Lease
from serving.wire import Finished, GenerateRequest, Tokens

_END_S = 2.0
_Answer = TypeVar("_Answer")

log = structlog.get_logger(__name__)


class VllmEngine:
    """An engine of one model on this host; implements `serving.engine.protocol.Engine`."""

    def __init__(
        self, model: ModelSettings, host: HostSettings, checkpoint: Callable[[], Lease]
    ) -> None:
        self._model, self._host, self._checkpoint = model, host, checkpoint
        self._processes = EngineProcesses(
            f"engine/{host.name}/{model.name}",
            cpu_cores=host.cpu_cores,
            cuda=host.accelerator == "cuda",
        )
        self._lease: Lease | None = None
        """Kept while there are processes: a parked engine reads its weights again."""
        self._llm: AsyncLLM | None = None
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """By itself or stopped."""
        self._killed_for: str | None = None
        self._stopping = False
        self._level: SleepLevel | None = None
        self._held = HeldMemory()
        self._abandoned_steps = 0

    async def start(self) -> None:
        """Fork the engine core from the warm process and load the weights."""
        try:
            self._llm = await asyncio.to_thread(self._construct)
        except Exception as error:
            self._release()
            raise self._failed(f"it did not start: {self._killed_for or error}") from error
        if self._stopping:
            await self.stop()
            raise self._failed("it was stopped while it started")
        self._watch()
        await self._measure(self._llm)

    def _construct(self) -> AsyncLLM:
        self._lease = self._checkpoint()
        config = engine_config(self._model, self._host, self._lease.path)
        with started_by(self._processes):
            return AsyncLLM(
                vllm_config=config,
                executor_class=Executor.get_class(config),
                log_stats=False,
                log_requests=False,
            )

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        for process in self._processes.started:
            sentinel = process.sentinel

            def died(sentinel: int = sentinel) -> None:
                loop.remove_reader(sentinel)
                self._end()
                if not self._stopping and not self._lost.done():
                    self._lost.set_result(self._why())

            loop.add_reader(sentinel, died)

    def _unwatch(self) -> None:
        loop = asyncio.get_running_loop()
        for process in self._processes.started:
            loop.remove_reader(process.sentinel)

    def _why(self) -> str:
        """Why it is lost."""
        return self._killed_for or "its process ended"

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    async def lost(self) -> str:
        """Wait for the engine core's process to end by itself."""
        return await asyncio.shield(self._lost)

    async def sleep(self, level: SleepLevel) -> None:
        """Level 1 frees the KV cache; level 2 also the weights, also from level 1."""
        llm = self._started()
        if self._level is None:
            await self._call(llm.sleep(level))
        elif level > self._level:
            # The executor would ignore a second sleep; the worker takes it.
            await self._call(llm.collective_rpc("sleep", kwargs={"level": level}))
        self._level = level
        await self._measure(llm)

    async def wake(self) -> None:
        """Have weights and KV cache again."""
        llm = self._started()
        await self._call(llm.wake_up())
        self._level = None
        await self._measure(llm)

    async def _measure(self, llm: AsyncLLM) -> None:
        """Have the workers say what they hold; on CPU the proportional set size says all."""
        if self._host.accelerator == "cuda":
            self._held = held_memory(await self._call(llm.collective_rpc("memory_held")))

    async def stop(self) -> None:
        """End the engine core, gracefully for a moment, then by force."""
        self._stopping = True
        self._end()
        self._unwatch()
        llm, self._llm = self._llm, None
        if llm is not None:
            # vLLM may leave whoever still reads tokens waiting for ever.
            llm.output_processor.propagate_error(EngineDeadError())
            await asyncio.to_thread(llm.shutdown, _END_S)
        await asyncio.to_thread(self._processes.kill)
        self._release()

    def _release(self) -> None:
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    async def steer(self, steering: Steering) -> None:
        """Hold the scheduler to `steering`; returns when its current step is done."""
        self._abandoned_steps = await self._call(send_steering(self._started(), steering))

    async def pulse(self) -> None:
        """Ask the engine core for something that needs none of its workers."""
        await self._call(self._started().is_sleeping())

    async def kill(self, why: str) -> None:
        """SIGKILL to the engine core; with it the kernel ends its workers."""
        self._killed_for = why
        await asyncio.to_thread(self._processes.kill)
        # A process in the middle of a call to a driver may be there still, but is of no use.
        self._end()
        if not self._lost.done():
            self._lost.set_result(why)

    async def _call(self, call: Coroutine[Any, Any, _Answer]) -> _Answer:
        """What the engine core answers. Raises EngineFailed, also when it ends meanwhile."""
        sent = asyncio.create_task(call)
        ends: set[asyncio.Future[Any]] = {sent, self._ended}
        try:
            # vLLM answers no call to an engine core that ends.
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not sent.done():
                raise self._failed(self._why())
            # What an engine core answers that is shutting down has no class of its own.
            if (error := sent.exception()) is not None:
                raise self._failed(f"it did not do as it was told: {error}") from error
            return sent.result()
        finally:
            sent.cancel()

    def abandoned_steps(self) -> int:
        """Steps given up for interactive requests, as of when it was steered last."""
        return self._abandoned_steps

    def memory_bytes(self) -> int:
        """Proportional set size of the engine's processes, and pinned memory that it leaves out."""
        processes = {p.pid for p in self._processes.started if p.pid} | self._held.process_ids
        return sum(map(proportional_bytes, processes)) + self._held.unseen_host_bytes

    def device_memory(self) -> DeviceMemory:
        """What it held on its device when it last changed its tier."""
        return self._held.device

    async def generate(self, key: str, request: GenerateRequest) -> AsyncIterator[EngineOutput]:
        """Tokens as they come, then how it finished."""
        if len(request.resumed_token_ids) >= request.sampling.max_tokens:
            yield Finished("length")
            return
        llm, first = self._started(), True
        with self._failures():
            params = sampling_params(key, request)
            batch = request.request_class == "batch"
            prompt = tokens_input(prompt_ids(request), cache_salt=request.cache_salt)
            generation = llm.generate(
                prompt, params, key, priority=BATCH_PRIORITY if batch else INTERACTIVE_PRIORITY
            )
            async with contextlib.aclosing(generation) as outputs:
                async for output in outputs:
                    for converted in self._converted(request, output, first=first):
                        yield converted
                    first = False

    def _converted(
        self, request: GenerateRequest, output: RequestOutput, *, first: bool
    ) -> list[EngineOutput]:
        completion = output.outputs[0]
        token_ids = list(completion.token_ids)
        converted: list[EngineOutput] = []
        if token_ids:
            converted.append(
                Tokens(
                    token_ids,
                    logprobs=token_logprobs(token_ids, completion.logprobs),
                    prompt_logprobs=prompt_token_logprobs(
                        request.prompt_token_ids, output.prompt_logprobs
                    ),
                    cached_tokens=output.num_cached_tokens if first else None,
                )
            )
        match completion.finish_reason:
            case None:
                pass
            case "stop" | "length" | "repetition" as reason:
                stopped_by = completion.stop_reason
                converted.append(
                    Finished(reason, stopped_by if isinstance(stopped_by, int) else None)
                )
            case reason:
                raise self._failed(f"it ended the generation by {reason!r}")
        return converted

    def _started(self) -> AsyncLLM:
        if self._llm is None or self._lost.done():
            raise self._failed("it has no process")
        return self._llm

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn vLLM's errors into ours."""
        try:
            yield
        except EngineDeadError as error:
            raise self._failed(self._given_up()) from error
        except (VLLMClientError, ValueError) as error:
            raise RequestRefused(
                str(error), where=f"engine of {self._model.name}", fix="Change the request."
            ) from error

    def _given_up(self) -> str:
        """Count as lost at once, and why.

        The process of a core that failed may take seconds to end. Whatever is sent to it meanwhile
        would fail as if it had killed the core once more.
        """
        why = self._killed_for or "its core failed"
        if not self._stopping and not self._lost.done():
            self._lost.set_result(why)
            for process in self._processes.started:
                process.kill()
        return why

    def _failed(self, what: str) -> EngineFailed:
        return EngineFailed(
            what, where=f"engine of {self._model.name}", fix="Its host's log says more."
        )
