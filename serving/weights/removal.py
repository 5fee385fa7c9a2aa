"""Which checkpoints leave the store when another one needs room. Pure: no file is touched."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Blobs = Mapping[str, int]
"""Bytes of each blob, by its name."""


@dataclass(frozen=True)
class Kept:
    """A checkpoint in the store."""

    key: str
    blobs: Blobs
    last_used_s: float
    held: bool
    """Whether a process uses it now; then it stays."""


def stored_bytes(checkpoints: Iterable[Blobs]) -> int:
    """What these checkpoints take together; a blob of several of them is there once."""
    sizes: dict[str, int] = {}
    for blobs in checkpoints:
        sizes.update(blobs)
    return sum(sizes.values())


def choose_removals(kept: Iterable[Kept], incoming: Blobs, budget_bytes: int) -> list[str] | None:
    """Keys to remove so that `incoming` fits: the least recently used first, no more than needed.

    None if it would not fit even without everything that nobody holds.
    """
    staying = sorted(kept, key=lambda entry: (entry.held, entry.last_used_s, entry.key))
    removals: list[str] = []
    while stored_bytes([incoming, *(entry.blobs for entry in staying)]) > budget_bytes:
        if not staying or staying[0].held:
            return None
        removals.append(staying.pop(0).key)
    return removals
