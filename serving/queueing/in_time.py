"""Which of the prompts that wait can be answered in time: as many as can be. Pure.

Moore and Hodgson's rule (Moore, "An n job, one machine sequencing algorithm for minimizing the
number of late jobs", Management Science 15, 1968): take the prompts by due time; where one would be
late, put off the longest of those taken so far. On one engine no choice keeps more of them; on
several, each prompt is reckoned to the engine that is free first. Belongs here: the choice. Does
not: the order in which they are sent (`turns`), and to which engine.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Prompt(NamedTuple):
    """One that waits."""

    due_in_s: float
    """When its first token is due, from now; negative where it is late already."""
    work_s: float
    """How long one engine computes it; 0: not known."""


def in_time(prompts: Sequence[Prompt], free_in_s: Iterable[float]) -> list[bool]:
    """For each of `prompts`, in the order they are due, whether it is one to answer in time.

    `free_in_s`: for each engine, when it has computed what it was given already.
    """
    engines = [(free_s, number) for number, free_s in enumerate(free_in_s)]
    heapq.heapify(engines)
    taken: list[list[tuple[float, int]]] = [[] for _ in engines]
    chosen = [bool(engines)] * len(prompts)
    for number, (due_in_s, work_s) in enumerate(prompts if engines else ()):
        free_s, engine = engines[0]
        ends_s = free_s + work_s
        heapq.heappush(taken[engine], (-work_s, -number))
        if ends_s > due_in_s:
            longest_s, longest = heapq.heappop(taken[engine])
            chosen[-longest] = False
            ends_s += longest_s
        heapq.heapreplace(engines, (ends_s, engine))
    return chosen
