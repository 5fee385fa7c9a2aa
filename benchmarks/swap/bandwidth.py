"""How fast a device takes pinned host memory, as torch copies it.

Measured in a process of its own (this module, run), so that the benchmark keeps no CUDA context.
"""

import statistics
import subprocess
import sys
import time

from benchmarks.setting import BenchmarkUnable
from benchmarks.workspace import Workspace
from serving.config import HostSettings

_BLOCK_BYTES = 2**30
_COPIES = 9
_LIMIT_S = 120.0


def host_to_device_bytes_per_s(workspace: Workspace, host: HostSettings) -> float | None:
    """To the first device of `host`; None if it has none. Raises BenchmarkUnable."""
    if host.accelerator != "cuda":
        return None
    visible = {"CUDA_VISIBLE_DEVICES": str(host.devices[0])} if host.devices else {}
    environment = workspace.environment(CUDA_DEVICE_ORDER="PCI_BUS_ID", **visible)
    ended = subprocess.run(
        [sys.executable, "-m", __name__],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if ended.returncode != 0:
        raise BenchmarkUnable(
            f"copying to the device failed: {ended.stderr.strip().splitlines()[-1]}",
            where=f"host {host.name}",
            fix="Look whether `nvidia-smi` shows its devices, and whether they are free.",
        )
    return float(ended.stdout)


def _measured_bytes_per_s() -> float:
    """By the median copy of one block; the first one is not counted."""
    import torch

    source = torch.ones(_BLOCK_BYTES, dtype=torch.uint8).pin_memory()
    target = torch.empty(_BLOCK_BYTES, dtype=torch.uint8, device="cuda")
    took_s = []
    for _ in range(_COPIES + 1):
        torch.cuda.synchronize()
        began = time.perf_counter()
        target.copy_(source, non_blocking=True)
        torch.cuda.synchronize()
        took_s.append(time.perf_counter() - began)
    return _BLOCK_BYTES / statistics.median(took_s[1:])


if __name__ == "__main__":
    print(_measured_bytes_per_s())
