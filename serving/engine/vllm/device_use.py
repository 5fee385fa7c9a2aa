"""How much of a CUDA device is in use, as the driver's management library (NVML) says.

NVML needs no CUDA context, so it can be asked before there is one. What an engine holds beyond
vLLM's sleep allocator (context, kernels, graphs, communicators) is found with it.
"""

from collections.abc import Container, Iterable, Mapping
from typing import Any

from vllm.utils.import_utils import import_pynvml


class DeviceUse:
    """The device that a process calls number `local_rank` of `visible` (CUDA_VISIBLE_DEVICES)."""

    def __init__(self, visible: str | None, local_rank: int, nvml: Any = None) -> None:
        self._nvml = nvml or import_pynvml()
        self._nvml.nvmlInit()
        name = visible.split(",")[local_rank].strip() if visible else str(local_rank)
        self._handle = (
            self._nvml.nvmlDeviceGetHandleByIndex(int(name))
            if name.isdigit()
            else self._nvml.nvmlDeviceGetHandleByUUID(name)
        )
        self._before_bytes = self.used_bytes()

    def used_bytes(self) -> int:
        """By all processes."""
        return int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used)

    def grown_bytes(self) -> int:
        """How much more that is than when this object was made; at least nothing."""
        return max(0, self.used_bytes() - self._before_bytes)

    def own_bytes(self, process_id: int) -> int | None:
        """By this process; None if the driver does not say.

        In a container the driver may know the process by another id.
        """
        for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle):
            if process.pid == process_id and process.usedGpuMemory is not None:
                return int(process.usedGpuMemory)
        return None


def outside_bytes(segments: Iterable[Mapping[str, Any]], pools: Container[tuple[int, int]]) -> int:
    """Device memory of torch's `segments` (of its memory snapshot) that are in none of `pools`."""
    return sum(
        segment["total_size"]
        for segment in segments
        if tuple(segment["segment_pool_id"]) not in pools
    )
