"""vLLM's engine client over the fleet: text-level work here, tokens from wherever they come.

Modelled on vLLM's AsyncLLM: the same input and output processing around another engine.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from copy import copy
from hashlib import sha256
from http import HTTPStatus
from typing import Any

import msgspec
from vllm.config import VllmConfig
from vllm.exceptions import GracefulHTTPError, VLLMClientError, VLLMValidationError
from vllm.outputs import RequestOutput
from vllm.renderers import renderer_from_config
from vllm.renderers.inputs.preprocess import extract_prompt_components
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine import EngineCoreRequest
from vllm.v1.engine.input_processor import InputProcessor
from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector
from vllm.v1.engine.parallel_sampling import ParentRequest

from serving.config import ModelSettings
from serving.gateway.adaptor.no_engine import WithoutEngine
from serving.gateway.adaptor.outputs import OutputSink
from serving.gateway.adaptor.sampling import sampling_spec
from serving.gateway.attempts import AttemptRunner
from serving.gateway.failures import Refusal, RequestRefused, parameter_refused
from serving.gateway.generation import Generation
from serving.gateway.lines.partials import Checkpoint
from serving.gateway.record import RequestRecord, current_request
from serving.wire import SamplingSpec


class FleetEngineClient(WithoutEngine):
    """One model of the fleet, as vLLM's API app sees an engine."""

    def __init__(self, config: VllmConfig, model: ModelSettings, runner: AttemptRunner) -> None:
        self.vllm_config = config
        self.model_config = config.model_config
        self.renderer = renderer_from_config(config)
        self.input_processor = InputProcessor(config, self.renderer)
        self._outputs = OutputProcessor(self.renderer.tokenizer, log_stats=False)
        self._model, self._runner = model, runner
        self._identity = model.model_dump_json().encode()

    def generate(
        self,
        prompt: Any,
        sampling_params: SamplingParams,
        request_id: str,
        *,
        lora_request: object = None,
        priority: int = 0,
        **_hints: object,
    ) -> AsyncGenerator[RequestOutput, None]:
        """Check the request at once, then stream its outputs.

        Not a generator function itself: a refusal must be raised before vLLM's app begins its
        answer. `_hints` are meant for one engine's scheduler, tracing and caches.
        """
        record = current_request.get()
        try:
            if lora_request is not None:
                raise parameter_refused("lora_request", "the fleet serves whole models")
            if priority:
                raise parameter_refused("priority", "the class is asked for by service_tier")
            request = self._engine_request(prompt, sampling_params, request_id)
            spec = sampling_spec(request.sampling_params)
        except RequestRefused as refused:
            record.refusal = refused.refusal
            raise _as_vllm_error(refused) from refused
        except (VLLMClientError, ValueError) as error:
            parameter = getattr(error, "parameter", None)
            record.refusal = Refusal(400, str(error), "invalid_value", parameter)
            raise
        if record.rehearsal:
            record.would_run = True
            raise VLLMValidationError("it was a rehearsal")
        text, _, _ = extract_prompt_components(self.model_config, prompt)
        children = _children(request)
        first = len(record.generations)
        generations = [
            self._generation(record, child, spec, first + index)
            for index, (child, _, _) in enumerate(children)
        ]
        record.generations += generations
        return self._stream(record, list(zip(children, generations, strict=True)), text)

    def _engine_request(
        self, prompt: Any, params: SamplingParams, request_id: str
    ) -> EngineCoreRequest:
        if not (isinstance(prompt, dict) and "type" in prompt):
            raise parameter_refused("prompt", "only a rendered prompt can be generated from")
        request = self.input_processor.process_inputs(
            request_id, prompt, params, supported_tasks=("generate",)
        )
        if request.mm_features:
            raise parameter_refused("multimodal input", "the fleet's wire carries tokens only")
        if request.prompt_embeds is not None:
            raise parameter_refused("prompt_embeds", "the fleet's wire carries tokens only")
        self.input_processor.assign_request_id(request)
        return request

    def _generation(
        self, record: RequestRecord, request: EngineCoreRequest, spec: SamplingSpec, index: int
    ) -> Generation:
        """The generation number `index` of a request."""
        params = request.sampling_params
        if params.seed != spec.seed:
            spec = sampling_spec(params)
        return Generation(
            request_id=record.request_id,
            generation_id=request.request_id,
            model=self._model.name,
            request_class=record.request_class,
            prompt_token_ids=request.prompt_token_ids,
            sampling=spec,
            max_model_len=self._model.max_model_len,
            streamed=params.output_kind != RequestOutputKind.FINAL_ONLY,
            cache_salt=request.cache_salt,
            account=record.account.name,
            weight=record.account.weight,
            deadline_at=record.deadline_at,
            checkpoint=self._checkpoint(record, request, spec, index),
        )

    def _checkpoint(
        self, record: RequestRecord, request: EngineCoreRequest, spec: SamplingSpec, index: int
    ) -> Checkpoint | None:
        if record.checkpoint_key is None:
            return None
        asked = (request.prompt_token_ids, spec, request.cache_salt)
        fingerprint = sha256(self._identity + msgspec.msgpack.encode(asked)).digest()
        return Checkpoint(f"{record.account.name} {record.checkpoint_key} {index}", fingerprint)

    async def _stream(
        self,
        record: RequestRecord,
        family: list[tuple["_Child", Generation]],
        prompt: str | None,
    ) -> AsyncGenerator[RequestOutput, None]:
        first = family[0][0][0]
        queue = RequestOutputCollector(first.sampling_params.output_kind, first.request_id)
        sinks = [
            OutputSink(
                self._outputs, request, prompt=prompt, parent=parent, index=index, queue=queue
            )
            for (request, parent, index), _ in family
        ]
        tasks = [
            asyncio.create_task(self._run(record, generation, sink, queue))
            for (_, generation), sink in zip(family, sinks, strict=True)
        ]
        try:
            finished = False
            while not finished:
                output = queue.get_nowait() or await queue.get()
                finished = output.finished
                yield output
        finally:
            for task, (_, generation) in zip(tasks, family, strict=True):
                # One that is finished only reads the end of its stream, to keep the connection.
                if not generation.finished:
                    task.cancel()
            for sink in sinks:
                sink.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self,
        record: RequestRecord,
        generation: Generation,
        sink: OutputSink,
        queue: RequestOutputCollector,
    ) -> None:
        try:
            await self._runner.run(generation, sink, replica_wait_s=record.replica_wait_s)
        except RequestRefused as refused:
            record.refusal = refused.refusal
            queue.put(_as_vllm_error(refused))
        except Exception as error:
            # Handed to the reader of the queue, which would wait forever otherwise.
            queue.put(error)

    async def abort(self, request_id: str | Iterable[str]) -> None:
        """Nothing to do: a request is aborted by leaving its stream."""

    async def is_tracing_enabled(self) -> bool:
        """Traces are not passed on."""
        return False

    async def do_log_stats(self) -> None:
        """The gateway has its own metrics."""

    async def check_health(self) -> None:
        """The client itself is always well; replicas may be missing."""

    def shutdown(self, timeout: float | None = None) -> None:
        """Stop the renderer's threads."""
        self.renderer.shutdown()

    @property
    def is_running(self) -> bool:
        """Always."""
        return True

    @property
    def is_stopped(self) -> bool:
        """Never."""
        return False

    @property
    def errored(self) -> bool:
        """Never: what a host suffers is handled generation by generation."""
        return False

    @property
    def dead_error(self) -> BaseException:
        """Asked for only if `errored`."""
        return RuntimeError("the gateway's engine client does not die")


_Child = tuple[EngineCoreRequest, ParentRequest | None, int]


def _children(request: EngineCoreRequest) -> list[_Child]:
    """The sequences to make for a request, `n` of them, as AsyncLLM fans them out."""
    if request.sampling_params.n == 1:
        return [(request, None, 0)]
    parent = ParentRequest(request)
    children: list[_Child] = []
    for index in range(parent.n):
        child = copy(request)
        child.request_id, child.sampling_params = parent.get_child_info(index)
        children.append((child, parent, index))
    return children


def _as_vllm_error(refused: RequestRefused) -> Exception:
    """The error that vLLM's app answers with, where it has not begun its answer."""
    refusal = refused.refusal
    error: Exception = GracefulHTTPError(refusal.message, HTTPStatus(refusal.status))
    if refusal.status == 400:
        error = VLLMValidationError(refusal.message, parameter=refusal.param)
    return error
