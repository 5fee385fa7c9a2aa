"""vLLM's CPU worker with a sleep that frees memory; vLLM's own ignores sleep on CPU.

Level 1 frees the KV cache, level 2 also the weights. Storages are shrunk to nothing in place, so
that every tensor that views them is valid again once they have grown back. Runs in the engine's
process.
"""

import ctypes
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from vllm.model_executor.layers.vocab_parallel_embedding import (
    ParallelLMHead,
    VocabParallelEmbedding,
)
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.worker.cpu_worker import CPUWorker

from serving.engine.vllm.abandoning import StepAbandoned, abandoned
from serving.engine.vllm.layer_gates import LayerGates, decoder_layers


class SleepingCPUWorker(CPUWorker):
    """A CPU worker that sleeps at two levels."""

    # Set in sleep, so that nothing depends on how vLLM constructs its workers.
    _cache_storages: "dict[int, tuple[torch.UntypedStorage, int]] | None" = None
    _weight_storages: "dict[int, tuple[torch.UntypedStorage, int]] | None" = None

    def load_model(self, *, load_dummy_weights: bool = False) -> None:
        """Load the weights, and keep no copy of them that nothing computes with."""
        super().load_model(load_dummy_weights=load_dummy_weights)
        self._drop_packed_embeddings()
        self._layer_gates = LayerGates(self._layers())

    def execute_model(self, scheduler_output: SchedulerOutput) -> Any:
        """One step; one that its gate stops ends as one in which nobody got a token."""
        self._layer_gates.open_for(scheduler_output)
        try:
            return super().execute_model(scheduler_output)
        except StepAbandoned:
            return abandoned(scheduler_output)
        finally:
            self._layer_gates.close()

    def sample_tokens(self, grammar_output: Any) -> Any:
        """The step's tokens. A seeded request whose prompt is not whole yet draws no number."""
        with without_draws_of_parts(self.model_runner):
            return super().sample_tokens(grammar_output)

    def _layers(self) -> Sequence[torch.nn.Module]:
        """Between which a step can be stopped: a compiled model has none."""
        if not self.model_config.enforce_eager:
            return []
        count = self.model_config.get_num_layers(self.parallel_config)
        return decoder_layers(self.model_runner.model, count)

    def sleep(self, level: int = 1) -> None:
        """Free the KV cache, at level 2 also the weights. From level 1, level 2 goes on."""
        if self._cache_storages is None:
            self._cache_storages = _freed(self._caches())
        if level >= 2 and self._weight_storages is None:
            self._weight_storages = _freed(self.model_runner.model.parameters())
            self._drop_packed_weights()
        _return_free_memory()

    def wake_up(self, tags: list[str] | None = None) -> None:
        """Have the KV cache again, empty, and the weights, read from the checkpoint if dropped."""
        if self._weight_storages is not None:
            _restored(self._weight_storages)
            self._weight_storages = None
            self.model_runner.reload_weights()
            self._pack_tied_weights()
            self._drop_packed_embeddings()
        if self._cache_storages is not None:
            _restored(self._cache_storages)
            self._cache_storages = None

    def _drop_packed_weights(self) -> None:
        """Forget the copies that linear layers keep in the form their kernels want.

        The closure called `cpu_linear` is their only owner; loading weights makes a new one.
        """
        for layer in self.model_runner.model.modules():
            if hasattr(layer, "cpu_linear"):
                layer.cpu_linear = None

    def _pack_tied_weights(self) -> None:
        """Pack again what loading passed over: a tied output layer has no weights of its own."""
        for layer in self.model_runner.model.modules():
            if hasattr(layer, "cpu_linear") and layer.cpu_linear is None:
                layer.quant_method.process_weights_after_loading(layer)

    def _drop_packed_embeddings(self) -> None:
        """Forget the packed copies of input embeddings; an output layer keeps its own.

        VLLM packs both, but looks tokens up in the plain weights.
        """
        model = self.model_runner.model
        for layer in model.modules():
            output = isinstance(layer, ParallelLMHead) or layer is getattr(model, "lm_head", None)
            if isinstance(layer, VocabParallelEmbedding) and not output:
                # Should a model compute with it after all, this is slower and right.
                layer.cpu_linear = torch.nn.functional.linear

    def _caches(self) -> Iterable[torch.Tensor]:
        for cache in self.model_runner.kv_caches:
            if isinstance(cache, torch.Tensor):
                yield cache
            else:
                yield from cache


@contextmanager
def without_draws_of_parts(runner: Any) -> Iterator[None]:
    """Keep the random numbers of requests from a step that computes a part of their prompts.

    vLLM draws one, drops the token, and sets the generator back by an offset that generators on a
    CPU do not have: the engine would die.
    """
    generators = runner.input_batch.generators
    parts = [number for number in generators if runner.discard_request_mask.np[number]]
    kept = {number: generators.pop(number) for number in parts}
    try:
        yield
    finally:
        generators.update(kept)


def _freed(
    tensors: Iterable[torch.Tensor],
) -> "dict[int, tuple[torch.UntypedStorage, int]]":
    """Shrink every storage once (several tensors may view one); how large each was."""
    freed: dict[int, tuple[torch.UntypedStorage, int]] = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        if storage.size() > 0:
            freed[storage._cdata] = (storage, storage.size())  # noqa: SLF001 - its identity
            storage.resize_(0)
    return freed


def _restored(freed: "dict[int, tuple[torch.UntypedStorage, int]]") -> None:
    for storage, size in freed.values():
        storage.resize_(size)


def _return_free_memory() -> None:
    """Give what was freed in small pieces back to the operating system (glibc keeps it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
