"""Asking until there is an outcome: waits while the gateway takes nothing, tries faults again.

How long a row waits in all is not decided here: who runs rows ends them at the batch's end.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

from orchestration.batch.asks import Outcome
from orchestration.batch.verdict import LONGEST_PAUSE_S, Busy, Faulty

FIRST_PAUSE_S = 0.1

Pause = Callable[[float], Awaitable[None]]


async def persist(
    attempt: Callable[[], Awaitable[Outcome]],
    note: Callable[[str], None],
    *,
    pause: Pause = asyncio.sleep,
) -> Outcome:
    """`attempt` until it has an outcome; `note` hears what is waited for."""
    faults = waits = 0
    while True:
        try:
            return await attempt()
        except Busy as busy:
            waits += 1
            note(busy.why)
            wanted_s = max(pause_s(waits), busy.retry_after_s)
            await pause(min(wanted_s, busy.longest_pause_s))
        except Faulty as fault:
            faults += 1
            if faults >= fault.attempts:
                return fault.outcome
            await pause(pause_s(faults))


def pause_s(times: int) -> float:
    """How long to wait after the given number of failures: ever longer, and not all at once."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(times, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # spreads retries, guards nothing
