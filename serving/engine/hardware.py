"""What a host's engines compute on, in words that are the same on every machine like it."""

import os
import platform
import subprocess
from pathlib import Path

from serving.config import HostSettings

_ANSWER_S = 10.0


def hardware(settings: HostSettings) -> str:
    """The accelerator of a host: "2 x NVIDIA H200", or processor and the engine's cores."""
    if settings.accelerator == "cuda":
        return _devices(settings.devices or [0])
    cores = settings.cpu_cores
    used = len(os.sched_getaffinity(0)) if cores == "auto" else _count(cores)
    return f"{_processor()}, {used} {'core' if used == 1 else 'cores'}"


def _count(cores: str) -> int:
    """How many cores `0-3` or `0,2,5` names."""
    count = 0
    for part in cores.split(","):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return count


def _processor() -> str:
    """The processor's name by /proc/cpuinfo; its architecture where that says none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _devices(devices: list[int]) -> str:
    """The devices' name, asked of the driver's own tool: no CUDA context is made for it."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader", f"--id={devices[0]}"],
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return f"{len(devices)} x unknown CUDA device"
    return f"{len(devices)} x {answer.stdout.strip()}"
