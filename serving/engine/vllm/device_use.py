"""How much of a CUDA device is in use, as the driver's management library (NVML) says.

NVML needs no CUDA context, so it can be asked before there is one. What an engine holds beyond
vLLM's sleep allocator (context, kernels, graphs, communicators) is found with it.
"""

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

    def own_bytes(self, process_id: int) -> int:
        """By this process.

        In a container the driver may know the process by another id, or not say what it uses; then
        it is what the device's use has grown by since this object was made.
        """
        for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle):
            if process.pid == process_id and process.usedGpuMemory is not None:
                return int(process.usedGpuMemory)
        return max(0, self.used_bytes() - self._before_bytes)
