"""What an engine holds, put together from what its workers report. Pure.

A tensor-parallel engine has a worker a device, each in a process of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypedDict

from serving.engine.protocol import DeviceMemory


class WorkerMemory(TypedDict):
    """The report of one worker."""

    process_id: int
    held_bytes: int
    """On its device now: what is mapped of weights and KV cache; graphs, context and all else."""
    awake_bytes: int
    """The same when it is awake."""
    unseen_host_bytes: int
    """Pinned host memory that its proportional set size leaves out."""


@dataclass(frozen=True)
class HeldMemory:
    """What was reported when the engine last changed its tier."""

    process_ids: frozenset[int] = frozenset()
    device: DeviceMemory = field(default_factory=DeviceMemory)
    """Where it holds most: what a group may hold is bounded on each of its devices."""
    unseen_host_bytes: int = 0


def held_memory(workers: Iterable[WorkerMemory]) -> HeldMemory:
    """The engine's memory by the reports of all its workers."""
    reports = list(workers)
    return HeldMemory(
        frozenset(report["process_id"] for report in reports),
        DeviceMemory(
            max((report["held_bytes"] for report in reports), default=0),
            max((report["awake_bytes"] for report in reports), default=0),
        ),
        sum(report["unseen_host_bytes"] for report in reports),
    )
