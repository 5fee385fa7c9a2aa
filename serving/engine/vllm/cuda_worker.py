"""vLLM's CUDA worker, which can also drop a sleeping engine's weights, and says what it holds.

vLLM sleeps at level 1 (weights copied to host RAM) or 2 (weights dropped), but not from 1 on to 2,
and after level 2 leaves reading the weights to its caller. Here both are the worker's own, so that
an engine sleeps and wakes by the same two calls as on CPU. CUDA graphs stay: all memory comes back
at the addresses it had. Runs in the engine's process; a tensor-parallel group has one a device.
"""

import os
from pathlib import Path
from typing import Any

import torch
from vllm.device_allocator.cumem import CuMemAllocator
from vllm.v1.worker.gpu_worker import Worker

from serving.engine.vllm import backups
from serving.engine.vllm.device_use import DeviceUse, outside_bytes
from serving.engine.vllm.held_memory import WorkerMemory
from serving.engine.vllm.resident import is_resident

_CONTEXT_AT_MOST_BYTES = 4 * 1024**3
"""More than a CUDA context with its kernels and communicators ever takes."""


class SleepingGPUWorker(Worker):
    """A CUDA worker that goes on from sleep level 1 to 2, and reads its weights when it wakes."""

    _level = 0
    _beyond_pools_bytes = 0
    """Device memory outside of the sleep allocator; it stays when the engine sleeps."""
    _pinned_is_resident: bool | None = None
    """Whether the proportional set size counts pinned host memory; None: there was none yet."""

    def init_device(self) -> None:
        """Note what the device holds before this process has a context there."""
        self._use = DeviceUse(os.environ.get("CUDA_VISIBLE_DEVICES"), self.local_rank)
        super().init_device()
        # Other engines of the host may wake meanwhile: no context is as large as that.
        context_bytes = self._use.grown_bytes() - _outside_pools_bytes()
        self._context_bytes = min(max(0, context_bytes), _CONTEXT_AT_MOST_BYTES)

    def compile_or_warm_up_model(self) -> Any:
        """Then everything is there: weights, KV cache, CUDA graphs."""
        times = super().compile_or_warm_up_model()
        own_bytes = self._use.own_bytes(os.getpid())
        if own_bytes is None:
            self._beyond_pools_bytes = self._context_bytes + _outside_pools_bytes()
        else:
            self._beyond_pools_bytes = max(0, own_bytes - self._mapped_bytes())
        return times

    def sleep(self, level: int = 1) -> None:
        """Free the KV cache and copy the weights to host RAM, at level 2 drop them."""
        if level >= 2 and self.vllm_config.speculative_config is not None:
            raise RuntimeError("the weights of a draft model are not read again: it cannot park")
        if self._level == 0:
            super().sleep(level)
        elif level > self._level:
            self._drop_weights()
        self._level = max(level, self._level)
        if level >= 2:
            _release_pinned()

    def wake_up(self, tags: list[str] | None = None) -> None:
        """Have everything again; an engine wakes whole, so `tags` counts only as vLLM's own.

        Dropped weights are read before the KV cache takes its memory.
        """
        if self._level < 2:
            super().wake_up(tags)
        else:
            super().wake_up([backups.WEIGHTS])
            self.reload_weights()
            # What reading needed beside the weights goes back to the device.
            torch.accelerator.empty_cache()
            super().wake_up([backups.KV_CACHE])
        self._level = 0

    def memory_held(self) -> WorkerMemory:
        """What this process holds now, as measured."""
        allocator = CuMemAllocator.get_instance()
        return {
            "process_id": os.getpid(),
            "held_bytes": self._beyond_pools_bytes + self._mapped_bytes(),
            "awake_bytes": self._beyond_pools_bytes + allocator.get_current_usage(),
            "unseen_host_bytes": self._unseen_host_bytes(),
        }

    def _drop_weights(self) -> None:
        """From level 1 to 2: vLLM restores buffers, which no checkpoint has, when it wakes."""
        allocations = CuMemAllocator.get_instance().pointer_to_data
        buffers = {
            name: backups.saved(buffer, allocations)
            for name, buffer in self.model_runner.model.named_buffers()
        }
        self._sleep_saved_buffers = {
            name: value for name, value in buffers.items() if value is not None
        }
        backups.drop(allocations.values(), backups.WEIGHTS)

    def _mapped_bytes(self) -> int:
        allocations = CuMemAllocator.get_instance().pointer_to_data
        return backups.mapped_bytes(allocations.values(), asleep=self._level > 0)

    def _unseen_host_bytes(self) -> int:
        """Pinned memory that the proportional set size of this process leaves out.

        Copies of weights are pinned. Whether the kernel counts such memory depends on how the
        driver maps it, so it is looked up, once. What was pinned stays so while the engine is
        awake: pinning takes longer than copying, and the next sleep needs it again.
        """
        if self._pinned_is_resident is None:
            copy = backups.any_backup(CuMemAllocator.get_instance().pointer_to_data.values())
            if copy is None:
                return 0
            smaps = Path("/proc/self/smaps").read_text()
            self._pinned_is_resident = is_resident(copy.data_ptr(), smaps)
        if self._pinned_is_resident:
            return 0
        return int(torch.cuda.host_memory_stats().get("allocated_bytes.current", 0))


def _outside_pools_bytes() -> int:
    """What torch holds of the device outside of vLLM's sleep allocator."""
    kept = CuMemAllocator.get_instance().allocator_and_pools.values()
    # Older vLLM keeps one pool a tag, not a list of them.
    entries = [pair for pairs in kept for pair in (pairs if isinstance(pairs, list) else [pairs])]
    return outside_bytes(torch.cuda.memory_snapshot(), {tuple(pool.id) for pool, _ in entries})


def _release_pinned() -> None:
    """Give unused pinned memory back to the operating system; torch keeps it for later."""
    # Older versions of torch have it under another name.
    release = getattr(torch.accelerator, "empty_host_cache", None)
    (release or torch._C._host_emptyCache)()  # noqa: SLF001
