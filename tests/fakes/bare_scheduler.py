"""vLLM's own scheduler, as we steer it, over a model that only counts: no weights, no processes.

What is real: vLLM's queues, its KV cache manager with its blocks, and everything of ours. The next
token of a request is a function of all tokens before it, so that tokens tell whether any was lost.
"""

import json
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from vllm import AsyncEngineArgs
from vllm.config import VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request, RequestStatus
from vllm.v1.structured_output import StructuredOutputManager

from serving.engine.protocol import Steering
from serving.engine.vllm.abandoning import StepAbandoned, abandoned, gate_of
from serving.engine.vllm.abandoning_scheduler import AbandoningScheduler
from serving.engine.vllm.scheduler import SteeredAsyncScheduler, SteeredScheduler
from serving.engine.vllm.steps import BATCH_PRIORITY, INTERACTIVE_PRIORITY, KEY_ARGUMENT

BLOCK_TOKENS = 4
STEP_TOKENS = 64
SLOTS = 4
LAYERS = 8
"""Of the model that only counts."""
_VOCABULARY = 1000
_RECEIVED = "received~"
_NO_TOKEN = -1
"""What stands in KV cache that a step began to write."""
_MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "num_hidden_layers": 1,
    "max_position_embeddings": 512,
    "vocab_size": _VOCABULARY,
}
_LAYER = FullAttentionSpec(
    block_size=BLOCK_TOKENS, num_kv_heads=1, head_size=1, dtype=torch.float32
)


def bare_config(folder: Path) -> VllmConfig:
    """The configuration of a model that is never loaded; one will do for many schedulers."""
    (folder / "config.json").write_text(json.dumps(_MODEL))
    arguments = AsyncEngineArgs(
        model=str(folder),
        skip_tokenizer_init=True,
        dtype="float32",
        max_model_len=512,
        max_num_seqs=SLOTS,
        max_num_batched_tokens=STEP_TOKENS,
        scheduling_policy="priority",
        enable_prefix_caching=True,
        block_size=BLOCK_TOKENS,
    )
    return arguments.create_engine_config()


def next_token(tokens: Iterable[int]) -> int:
    """What the model says after `tokens`."""
    return hash(tuple(tokens)) % _VOCABULARY


def generated(prompt: list[int], count: int) -> list[int]:
    """What an undisturbed run of `prompt` gives."""
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(next_token(tokens))
    return tokens[len(prompt) :]


class BareEngine:
    """A scheduler and the model that only counts, stepped by hand."""

    def __init__(
        self,
        config: VllmConfig,
        *,
        blocks: int,
        ahead: bool = False,
        keeps_places: bool = False,
        abandoning: bool = False,
    ) -> None:
        cache = KVCacheConfig(
            num_blocks=blocks,
            kv_cache_tensors=[],
            kv_cache_groups=[KVCacheGroupSpec(["layer"], _LAYER)],
        )
        config.cache_config.num_gpu_blocks = blocks
        init_none_hash(sha256)
        self._hasher = get_request_block_hasher(BLOCK_TOKENS, sha256)
        kind: type[SteeredScheduler] = SteeredAsyncScheduler if ahead else SteeredScheduler
        if abandoning:
            kind = AbandoningScheduler
        self.scheduler: Any = kind(
            vllm_config=config,
            kv_cache_config=cache,
            structured_output_manager=StructuredOutputManager(config),
            block_size=BLOCK_TOKENS,
        )
        self.scheduler.use_v2_model_runner = keeps_places
        self._depth = 2 if ahead else 1
        self._in_flight: deque[SchedulerOutput] = deque()
        self._worker = _CountingWorker()
        self.tokens: dict[str, list[int]] = {}
        """What each generation has been given."""
        self.ended: set[str] = set()
        self.steps: list[dict[str, int]] = []
        """Tokens each request had in each step."""
        self.abandoned = 0
        """Steps that were abandoned."""
        self._arrives_before: int | None = None

    def add(self, key: str, prompt: list[int], max_tokens: int, *, batch: bool) -> None:
        """Queue a generation; the scheduler's id of it is not its key."""
        parameters = SamplingParams(
            max_tokens=max_tokens, ignore_eos=True, extra_args={KEY_ARGUMENT: key}
        )
        request = Request(
            request_id=f"{key}~",
            prompt_token_ids=prompt,
            sampling_params=parameters,
            pooling_params=None,
            priority=BATCH_PRIORITY if batch else INTERACTIVE_PRIORITY,
            arrival_time=float(len(self.tokens)),
            block_hasher=self._hasher,
        )
        self.tokens[key] = []
        self.scheduler.add_request(request)

    def steer(self, *held: str, batch_prefill_tokens: int | None = None) -> None:
        """From the next step on."""
        self.scheduler.steer(Steering(frozenset(held), batch_prefill_tokens))

    def abort(self, key: str) -> None:
        """End a generation from outside."""
        self.scheduler.finish_requests(f"{key}~", RequestStatus.FINISHED_ABORTED)
        self.ended.add(key)

    def step(self) -> dict[str, int]:
        """Schedule once if there is anything to do; take the output of the oldest step due."""
        scheduled: dict[str, int] = {}
        if self.scheduler.has_requests():
            output = self.scheduler.schedule()
            scheduled = {name[:-1]: count for name, count in output.num_scheduled_tokens.items()}
            self.steps.append(scheduled)
            self._in_flight.append(output)
        if self._in_flight and (len(self._in_flight) >= self._depth or not scheduled):
            self._take_output(self._in_flight.popleft())
        return scheduled

    def step_with_arrival(self, before_layer: int) -> bool:
        """A step in which an interactive request is received; whether it was abandoned for it."""
        before, self._arrives_before = self.abandoned, before_layer
        self.step()
        self._arrives_before = None
        self.scheduler.arrivals.scheduler_has(_RECEIVED)
        return self.abandoned > before

    def run(self, limit: int = 2000) -> None:
        """Step until there is nothing to do."""
        for _ in range(limit):
            if not self.scheduler.has_requests() and not self._in_flight:
                return
            self.step()
        raise AssertionError("the engine does not come to rest")

    def cached_tokens(self, key: str) -> int:
        """How many tokens of the generation have their KV cache."""
        return int(self.scheduler.requests[f"{key}~"].num_computed_tokens)

    def free_blocks(self) -> int:
        """Of the KV cache."""
        return int(self.scheduler.kv_cache_manager.block_pool.get_num_free_blocks())

    def _take_output(self, step: SchedulerOutput) -> None:
        output = self._computed(step)
        for outputs in self.scheduler.update_from_output(step, output).values():
            for one in outputs.outputs:
                self.tokens[one.request_id[:-1]] += one.new_token_ids
                if one.finish_reason is not None:
                    self.ended.add(one.request_id[:-1])

    def _computed(self, step: SchedulerOutput) -> ModelRunnerOutput:
        gate = gate_of(step)
        try:
            for layer in range(LAYERS):
                if layer == self._arrives_before:
                    self.scheduler.arrivals.received(_RECEIVED)
                if gate is not None:
                    gate.before_layer(layer, LAYERS)
        except StepAbandoned:
            self._worker.spoil(step)
            self.abandoned += 1
            return abandoned(step)
        names = list(step.num_scheduled_tokens)
        return ModelRunnerOutput(
            req_ids=names,
            req_id_to_index={name: index for index, name in enumerate(names)},
            sampled_token_ids=self._worker.run(step),
        )


class _CountingWorker:
    """Writes tokens into KV cache blocks and reads them back, as attention would."""

    def __init__(self) -> None:
        self._cache: dict[tuple[int, int], int] = {}
        self._blocks: dict[str, list[int]] = {}
        self._tokens: dict[str, list[int]] = {}

    def run(self, step: SchedulerOutput) -> list[list[int]]:
        """The token each scheduled request gets, none for a prompt that is not at its end."""
        begins = self._take_blocks(step)
        return [
            self._computed(name, begins[name], count)
            for name, count in step.num_scheduled_tokens.items()
        ]

    def spoil(self, step: SchedulerOutput) -> None:
        """Begin `step`, and leave what it was to write unfinished."""
        begins = self._take_blocks(step)
        for name, count in step.num_scheduled_tokens.items():
            for position in range(begins[name], begins[name] + count):
                self._cache[self._place(name, position)] = _NO_TOKEN

    def _take_blocks(self, step: SchedulerOutput) -> dict[str, int]:
        begins: dict[str, int] = {}
        for new in step.scheduled_new_reqs:
            self._blocks[new.req_id] = list(new.block_ids[0])
            # A runner that keeps places gets a resumed request as a new one.
            self._tokens.setdefault(new.req_id, list(new.prompt_token_ids))
            begins[new.req_id] = new.num_computed_tokens
        cached = step.scheduled_cached_reqs
        for index, name in enumerate(cached.req_ids):
            blocks = cached.new_block_ids[index]
            added = [] if blocks is None else list(blocks[0])
            kept = [] if name in cached.resumed_req_ids else self._blocks[name]
            self._blocks[name] = kept + added
            begins[name] = cached.num_computed_tokens[index]
        return begins

    def _computed(self, name: str, begin: int, count: int) -> list[int]:
        tokens, end = self._tokens[name], begin + count
        for position in range(begin, end):
            self._cache[self._place(name, position)] = tokens[position]
        if end < len(tokens):
            return []
        seen = [self._cache[self._place(name, position)] for position in range(end)]
        tokens.append(next_token(seen))
        return tokens[-1:]

    def _place(self, name: str, position: int) -> tuple[int, int]:
        return self._blocks[name][position // BLOCK_TOKENS], position % BLOCK_TOKENS
