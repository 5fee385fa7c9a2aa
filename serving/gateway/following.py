"""Reading one stream of an engine host to its end, or until its generation goes elsewhere.

Who reads what is in the frames is `serving.gateway.intake`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

from serving.gateway.intake import Intake
from serving.gateway.pool import Lease
from serving.wire import Frame

SLACK_S = 0.5
"""By so much the end of patience may be off."""

Portions = AsyncIterator[list[Frame]]
Offer = Callable[[], Coroutine[Any, Any, Lease]]


async def follow(
    opened: AbstractAsyncContextManager[Portions], intake: Intake, lease: Lease, offer: Offer
) -> Lease | None:
    """Take a stream in until it ends.

    While its generation is held and may move, a slot elsewhere is waited for as well; if that
    comes first, it is returned and the stream is left. Raises TimeoutError on silence, when no
    slot came in time, or when the host is lost.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(intake.silence_s) as patience:
        lease.lose = lambda: _lose(patience)
        async with opened as portions:
            while True:
                if intake.may_move:
                    frames = await _portion_or_slot(portions, offer)
                else:
                    frames = await anext(portions, None)
                if frames is None:
                    return None
                if isinstance(frames, Lease):
                    return frames
                intake.take(frames)
                if intake.end is not None and intake.end.kind != "complete":
                    return None
                if not lease.lost:
                    _extend(patience, loop.time() + intake.silence_s)


def _lose(patience: asyncio.Timeout) -> None:
    """Be patient no longer. Where it has come to an end already, the stream is being closed."""
    if not patience.expired():
        patience.reschedule(0)


def _extend(patience: asyncio.Timeout, until: float) -> None:
    """Be patient until then, give or take: a new timer for every token would be waste."""
    if abs(until - (patience.when() or 0.0)) > SLACK_S:
        patience.reschedule(until)


async def _portion_or_slot(portions: Portions, offer: Offer) -> list[Frame] | Lease | None:
    """What comes first. A portion goes before a slot that comes with it: it may be the release."""
    portion, slot = asyncio.create_task(_next(portions)), asyncio.create_task(offer())
    taken = False
    try:
        await asyncio.wait({portion, slot}, return_when=asyncio.FIRST_COMPLETED)
        if portion.done():
            return portion.result()
        taken = True
        return slot.result()
    finally:
        portion.cancel()
        slot.cancel()
        if not taken:  # by a callback: a client that leaves may cancel what follows
            slot.add_done_callback(_give_back)
        await asyncio.gather(portion, slot, return_exceptions=True)


def _give_back(slot: "asyncio.Task[Lease]") -> None:
    if not slot.cancelled() and slot.exception() is None:
        slot.result().close()


async def _next(portions: Portions) -> list[Frame] | None:
    return await anext(portions, None)
