"""Appending events to the store, away from the request path.

A background thread takes events from a bounded backlog and inserts them in batches. A batch is
one transaction that also moves this writer's mark in the table `writers`; after a broken
connection the mark says whether the batch had been committed, so none is inserted twice.
"""

import threading
import time
import uuid

import structlog

from analytics.backlog import Backlog
from analytics.batch import COMMITTED, Mark, transaction
from analytics.client import StoreClient
from analytics.errors import StoreError, StoreRefused
from analytics.events import Event

FLUSH_S = 0.15
BATCH_EVENTS = 500
RETRY_S = 0.25
CLOSE_S = 3.0

_log = structlog.get_logger(__name__)


class EventWriter:
    """Appends events to the store at `address:port`. Call it from any thread.

    `source` names the writing process in the table `writers`.
    """

    def __init__(
        self, address: str, port: int, token: str, *, source: str, capacity: int = 20_000
    ) -> None:
        self._client = StoreClient(address, port, token)
        self._source = source
        self._writer_id = uuid.uuid4().hex
        self._backlog = Backlog(capacity)
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="event-writer", daemon=True)
        self._thread.start()

    def append(self, event: Event) -> None:
        """Queue an event. Never waits and never raises because of the store."""
        self._backlog.append(event)

    @property
    def dropped(self) -> int:
        """Events that were given up: the backlog was full, or the store did not take them."""
        return self._backlog.dropped

    def close(self, timeout_s: float | None = None) -> None:
        """Send what waits and stop; after `timeout_s` give up what is left, and count it.

        Without it, after `CLOSE_S`.
        """
        timeout_s = CLOSE_S if timeout_s is None else timeout_s
        self._give_up_at = time.monotonic() + timeout_s
        self._backlog.close()
        self._thread.join(timeout_s + 2 * RETRY_S)
        if self._thread.is_alive():  # the store holds the connection open and does not answer
            self._backlog.give_up()
        if self.dropped:
            _log.warning("events_dropped", source=self._source, dropped=self.dropped)

    def _run(self) -> None:
        sequence = 0
        while batch := self._next_batch():
            sequence += 1
            self._deliver(batch, sequence)
        self._client.close()

    def _next_batch(self) -> list[Event]:
        """The oldest events, gathered for a moment; empty once the backlog is closed and empty."""
        self._backlog.wait()
        self._backlog.wait_full(BATCH_EVENTS, FLUSH_S)
        return self._backlog.take(BATCH_EVENTS)

    def _deliver(self, batch: list[Event], sequence: int) -> None:
        """Insert one batch, however often the store goes away, until `close` gives up."""
        failed_attempts = 0
        while True:
            try:
                if not (failed_attempts and self._is_committed(sequence)):
                    self._client.run(self._transaction(batch, sequence)).fetchall()
                break
            except StoreError as error:
                if isinstance(error, StoreRefused) or time.monotonic() >= self._give_up_at:
                    self._give_up(batch, error)
                    return
                if failed_attempts == 0:
                    _log.warning("store_away", source=self._source, error=str(error))
                failed_attempts += 1
            time.sleep(RETRY_S)
        if failed_attempts:
            _log.info("store_back", source=self._source, failed_attempts=failed_attempts)

    def _give_up(self, batch: list[Event], error: StoreError) -> None:
        self._backlog.discard(len(batch))
        _log.error("events_given_up", source=self._source, events=len(batch), error=str(error))

    def _is_committed(self, sequence: int) -> bool:
        """Whether the store has this batch: its answer may have been lost with the connection."""
        mark = self._client.run(COMMITTED, {"writer_id": self._writer_id, "sequence": sequence})
        return bool(mark.fetchall())

    def _transaction(self, batch: list[Event], sequence: int) -> str:
        mark = Mark(self._writer_id, self._source, sequence, self.dropped)
        return transaction(batch, mark, time.time())
