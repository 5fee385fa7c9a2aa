"""Sending requests when they are due, however the ones before them fare."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from benchmarks.streams import Stream


@dataclass(frozen=True)
class Due:
    """One request, and when it is to be sent."""

    at_s: float
    """After the loop's beginning."""
    stream: Stream
    body: dict[str, object]


async def send_when_due(
    client: httpx.AsyncClient, url: str, requests: Sequence[Due], began: float
) -> None:
    """Send each in its turn, and read all to their ends. `began` is on the monotonic clock."""
    async with asyncio.TaskGroup() as group:
        for due in sorted(requests, key=lambda each: each.at_s):
            await asyncio.sleep(max(0.0, began + due.at_s - time.monotonic()))
            group.create_task(due.stream.read(client, url, due.body))
