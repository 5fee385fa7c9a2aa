"""The fewest evictions any scheduler could do for the interactive work that was there. Pure.

Batch work has no end, so every slot left to it is in use at every moment. How many are left follows
from what was recorded: with no interactive request present all slots, else what the interactive
cap leaves beside those present. Whenever that number falls, as many batch generations as it falls
by must give up their slot, whichever they are; whenever it rises, nobody has to. The sum of the
falls is the least. A scheduler that evicts more evicted somebody without need. One that leaves a
slot empty before an arrival can have fewer: an excess below zero says so.

Presence is from a request's arrival to its end. The cap is known from samples, about one a second:
a cap that moved and came back between two of them is not seen, which makes the least smaller.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Presence:
    """When one interactive request was on a host, in seconds since the epoch."""

    began_at: float
    ended_at: float


@dataclass(frozen=True)
class CapSample:
    """The interactive cap from a moment on."""

    at: float
    cap: int


def least_evictions(presences: Sequence[Presence], caps: Sequence[CapSample], slots: int) -> int:
    """Evictions that the presences and the cap in force make unavoidable, on one host."""
    ordered = sorted(caps, key=lambda sample: sample.at)
    cap_at = {sample.at: sample.cap for sample in ordered}
    changes: Counter[float] = Counter()
    for presence in presences:
        changes[presence.began_at] += 1
        changes[presence.ended_at] -= 1
    present, cap, room, falls = 0, ordered[0].cap if ordered else slots, slots, 0
    # Who leaves at the moment another comes gives it its slot: one step a moment.
    for at in sorted({*changes, *cap_at}):
        present, cap = present + changes[at], cap_at.get(at, cap)
        left = slots if present == 0 else max(0, min(slots, cap) - present)
        falls += max(0, room - left)
        room = left
    return falls


def excess_percent(evictions: int, least: int) -> float:
    """Evictions beyond the least possible, in percent of it; no number if none had to be."""
    return 100 * (evictions / least - 1) if least else float("nan")
