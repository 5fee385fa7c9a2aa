"""Events on their way to the store: a bounded queue that drops the oldest and counts them.

The newest are kept because statistics are asked about now. Thread-safe; appending never waits
for the store.
"""

import threading
from collections import deque
from itertools import islice

from analytics.events import Event


class Backlog:
    """Appended to by any thread, emptied batch by batch by one."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._events: deque[Event] = deque()
        self._closed = False
        self._changed = threading.Condition()
        self._wanted = 1
        """So many events wake the thread that waits; for fewer it is let sleep."""
        self.dropped = 0

    def append(self, event: Event) -> None:
        """Add an event, dropping the oldest one if the queue is full."""
        with self._changed:
            if len(self._events) >= self._capacity:
                self._events.popleft()
                self.dropped += 1
            self._events.append(event)
            if len(self._events) >= self._wanted:
                self._changed.notify()

    def take(self, limit: int) -> list[Event]:
        """Remove and return the oldest events, at most `limit`."""
        with self._changed:
            batch = list(islice(self._events, limit))
            for _ in batch:
                self._events.popleft()
            return batch

    def discard(self, count: int) -> None:
        """Count events that were taken and could not be stored."""
        with self._changed:
            self.dropped += count

    def give_up(self) -> None:
        """Drop all that waits, and count it: whoever empties the queue finds nothing more."""
        with self._changed:
            self.dropped += len(self._events)
            self._events.clear()

    def close(self) -> None:
        """Wake the waiting thread for the last time."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def wait(self) -> None:
        """Return when there is an event or the backlog is closed."""
        self.wait_full(1)

    def wait_full(self, limit: int, timeout_s: float | None = None) -> None:
        """Return when `limit` events wait or the backlog is closed, or after `timeout_s`."""
        with self._changed:
            self._wanted = limit
            self._changed.wait_for(lambda: len(self._events) >= limit or self._closed, timeout_s)

    def __len__(self) -> int:
        return len(self._events)
