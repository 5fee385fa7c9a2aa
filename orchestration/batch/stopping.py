"""Why a run ends before its rows do: what the batch's record or a signal says."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

StopReason = Literal["cancelled", "expired", "interrupted"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Set once; the first reason counts."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self.event = asyncio.Event()

    def ask(self, reason: StopReason) -> None:
        """Have the run end."""
        if self.reason is None:
            self.reason = reason
        self.event.set()


@contextmanager
def stopped_by_signals(stop: Stop) -> Iterator[None]:
    """Within the running loop, signals stop the run in order; afterwards they are as before.

    Dagster's own handler raises wherever the process is, also inside a row. Outside the main thread
    signals do not arrive, and nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.ask, "interrupted")
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
