"""What vLLM's sleep allocator holds, read and dropped: device memory and its copies in host RAM.

The allocator keeps one entry for each piece of device memory, by its address, with the copy made at
sleep level 1. The functions here work on those entries alone, so they run without a device. When
an engine sleeps is decided elsewhere (`cuda_worker`).
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Protocol

import torch

WEIGHTS = "weights"
KV_CACHE = "kv_cache"


class Allocation(Protocol):
    """The entry of one piece of device memory; vLLM's `AllocationData`."""

    handle: tuple[int, int, int, object]
    """Device, bytes, address, and the driver's own."""
    tag: str
    cpu_backup_tensor: torch.Tensor | None


def mapped_bytes(allocations: Iterable[Allocation], *, asleep: bool) -> int:
    """How much device memory is behind these addresses now.

    Newer vLLM notes it at each entry; for older ones `asleep` says it of all.
    """
    return sum(entry.handle[1] for entry in allocations if not getattr(entry, "is_asleep", asleep))


def saved(tensor: torch.Tensor, allocations: Mapping[int, Allocation]) -> torch.Tensor | None:
    """A copy in host RAM of a tensor whose device memory may be unmapped.

    None if its contents were not kept.
    """
    storage = tensor.untyped_storage()
    address = _holding(storage.data_ptr(), allocations)
    if address is None:
        return tensor.detach().cpu().clone()
    backup = allocations[address].cpu_backup_tensor
    if backup is None:
        return None
    begin = storage.data_ptr() - address
    kept = backup[begin : begin + storage.nbytes()].clone().untyped_storage()
    seen = torch.empty(0, dtype=tensor.dtype)
    seen.set_(kept, tensor.storage_offset(), tensor.size(), tensor.stride())
    return seen.clone()


def drop(allocations: Iterable[Allocation], tag: str) -> int:
    """Forget the copies of what carries `tag`; how many bytes they were.

    Woken again, those addresses have memory with no contents.
    """
    dropped_bytes = 0
    for entry in allocations:
        if entry.tag == tag and entry.cpu_backup_tensor is not None:
            dropped_bytes += entry.handle[1]
            entry.cpu_backup_tensor = None
    return dropped_bytes


def any_backup(allocations: Iterable[Allocation]) -> torch.Tensor | None:
    """One of the copies, if there are any."""
    copies = (entry.cpu_backup_tensor for entry in allocations)
    return next((copy for copy in copies if copy is not None), None)


def _holding(pointer: int, allocations: Mapping[int, Allocation]) -> int | None:
    """The address of the entry that `pointer` lies in."""
    addresses = sorted(allocations)
    position = bisect_right(addresses, pointer) - 1
    if position < 0:
        return None
    address = addresses[position]
    return address if pointer < address + allocations[address].handle[1] else None
