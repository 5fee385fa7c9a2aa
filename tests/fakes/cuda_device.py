"""A CUDA device made of ordinary memory: vLLM's own sleep allocator and worker run over it.

What is unmapped is filled with rubbish, so that contents nobody kept cannot be right by chance.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from vllm import device_allocator
from vllm.device_allocator import AllocationData, cumem
from vllm.v1.worker import gpu_worker

from serving.engine.vllm.cuda_worker import SleepingGPUWorker

RUBBISH = 0xA5
SEGMENT_BYTES = 4096


class Device:
    """Segments of memory that the allocator maps and unmaps; how much is mapped."""

    def __init__(self, allocator: cumem.CuMemAllocator) -> None:
        self._allocator = allocator
        self._segments: dict[int, torch.Tensor] = {}
        self.mapped: set[int] = set()

    def allocate(self, tag: str) -> torch.Tensor:
        """A segment for `tag`, as a tensor of bytes."""
        segment = torch.zeros(SEGMENT_BYTES, dtype=torch.uint8)
        address = segment.data_ptr()
        self._segments[address] = segment
        self.mapped.add(address)
        handle = (0, SEGMENT_BYTES, address, 0)
        self._allocator.pointer_to_data[address] = AllocationData(handle, tag)
        return segment

    def map(self, handle: tuple[int, int, int, int]) -> None:
        assert handle[2] not in self.mapped, "mapped twice"
        self.mapped.add(handle[2])

    def unmap(self, handle: tuple[int, int, int, int]) -> None:
        self.mapped.remove(handle[2])
        self._segments[handle[2]].fill_(RUBBISH)

    def copy(self, to: int, source: int, size_bytes: int) -> None:
        for address in (to, source):
            assert address not in self._segments or address in self.mapped, "not mapped"
        ctypes.memmove(to, source, size_bytes)

    def free_bytes(self) -> tuple[int, int]:
        return 2**30 - len(self.mapped) * SEGMENT_BYTES, 2**30


class Model(torch.nn.Module):
    """A weight and a buffer in the same piece of the device's memory, as vLLM's pool makes it."""

    def __init__(self, segment: torch.Tensor) -> None:
        super().__init__()
        floats = segment.view(torch.float32)
        self.weight = torch.nn.Parameter(floats[:8], requires_grad=False)
        self.register_buffer("angles", floats[64:72].view(2, 4).t(), persistent=False)

    def fill(self, weight: float) -> None:
        self.weight.fill_(weight)


class Runner:
    """What the worker needs of vLLM's model runner."""

    def __init__(self, device: Device, checkpoint: float) -> None:
        self.model = Model(device.allocate("weights"))
        self.kv_cache = device.allocate("kv_cache")
        self._device, self._checkpoint = device, checkpoint
        self.reloads = 0
        self.model.fill(checkpoint)

    def reload_weights(self) -> None:
        assert self.model.weight.data_ptr() in self._device.mapped
        assert self.kv_cache.data_ptr() not in self._device.mapped, "the cache came back first"
        self.model.fill(self._checkpoint)
        self.reloads += 1


@contextmanager
def worker_on_a_device(checkpoint: float) -> Iterator[tuple[SleepingGPUWorker, Runner, Device]]:
    """A worker that has loaded a model whose weights are all `checkpoint`."""
    allocator = cumem.CuMemAllocator()
    device = Device(allocator)
    worker = SleepingGPUWorker.__new__(SleepingGPUWorker)
    runner = Runner(device, checkpoint)
    fields: dict[str, Any] = {
        "model_runner": runner,
        "model_config": SimpleNamespace(sleep_preserve_parameter_names=[]),
        "vllm_config": SimpleNamespace(
            speculative_config=None,
            model_config=SimpleNamespace(
                sleep_mode_backend="cumem", enable_nccl_comm_suspend=False
            ),
        ),
        "get_draft_model": lambda: None,
        "synchronize_device": lambda: None,
        "reload_weights": runner.reload_weights,
        "_sleep_mode_backend": None,
        "_sleep_saved_buffers": {},
        "_sleep_saved_parameters": {},
        "_sleep_saved_draft_buffers": {},
    }
    for name, value in fields.items():
        setattr(worker, name, value)
    with _over(device, allocator):
        yield worker, runner, device


@contextmanager
def _over(device: Device, allocator: cumem.CuMemAllocator) -> Iterator[None]:
    nothing: Callable[..., None] = lambda *_: None  # noqa: E731
    cudart = SimpleNamespace(cudaMemcpy=device.copy)
    accelerator = {
        "synchronize": nothing,
        "empty_cache": nothing,
        "empty_host_cache": nothing,
        "get_memory_info": device.free_bytes,
    }
    with (
        patch.multiple(gpu_worker.torch.accelerator, **accelerator),
        patch.multiple(
            cumem,
            create_and_map=device.map,
            unmap_and_release=device.unmap,
            libcudart=cudart,
            PIN_MEMORY=False,
            # Everything imported is looked through each time: a third of a second.
            gc=SimpleNamespace(collect=nothing),
        ),
        patch.object(cumem.CuMemAllocator, "get_instance", lambda: allocator),
        patch.object(device_allocator, "get_mem_allocator_instance", lambda: allocator),
    ):
        yield
