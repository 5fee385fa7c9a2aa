"""Reading the traffic statistics: what the control plane and the status table are told."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec
import polars
import structlog

from analytics.answer import T, answered_within
from analytics.client import StoreClient
from analytics.errors import StoreUnreachable

_log = structlog.get_logger(__name__)


class ModelTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """One model's traffic of one class over the last `window_s` seconds."""

    model: str
    request_class: str
    window_s: float
    arrivals: int
    ended: int
    failed: int = 0
    waiting: int
    """Requests without a slot now."""
    running: int
    """Requests with a slot now."""
    prompt_tokens_per_s: float
    output_tokens_per_s: float
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    tpot_p50_s: float | None = None
    tpot_p95_s: float | None = None
    queue_p95_s: float | None = None
    evictions: int = 0
    recomputed_tokens: int = 0
    evictions_in_place: int = 0
    """Of the evictions, those that kept the generation on its engine."""
    held_s: float = 0.0
    """How long the requests that ended were evicted in place, together."""
    held: float = 0.0
    """Batch generations evicted in place, mean over the window."""
    capped_replicas: float = 0.0
    """Batch only: hosts whose batch was held to the interactive cap, mean over the window."""
    mean_cap: float | None = None
    """Batch only: the cap it was held to, mean; None if it was not."""


ANSWER_S = 15.0
"""A store that has not answered by then is taken for unreachable."""


class TrafficReader:
    """Reads the store's views and macros. Not thread-safe; connects when first asked.

    A store that holds the connection and does not answer is unreachable after `timeout_s`.
    """

    def __init__(self, address: str, port: int, token: str, *, timeout_s: float = ANSWER_S) -> None:
        self._place = (address, port, token)
        self._timeout_s = timeout_s
        self._client = StoreClient(*self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def model_traffic(self, window_s: float) -> list[ModelTraffic]:
        """Statistics of every model and class seen in the last `window_s` seconds."""
        rows = self.query("FROM model_traffic($window_s)", {"window_s": float(window_s)})
        return [msgspec.convert(row, ModelTraffic) for row in rows.iter_rows(named=True)]

    def query(self, sql: str, params: dict[str, Any] | None = None) -> polars.DataFrame:
        """Run one statement inside the store; `params` are named in it as `$name`.

        Raises StoreUnreachable or StoreRefused.
        """
        return self._ask(lambda client: client.run(sql, params).pl(), self._timeout_s)

    def wait_ready(self, timeout_s: float) -> None:
        """Return once the store answers; raise its StoreUnreachable after `timeout_s`.

        A refusal (a wrong token) is raised at once.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(0.5, deadline - time.monotonic())
            try:
                self._ask(lambda client: client.run("SELECT 1").fetchall(), left_s)
            except StoreUnreachable:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def close(self) -> None:
        """End the connection, or leave it where the store does not answer."""
        try:
            self._ask(StoreClient.close, self._timeout_s)
        except StoreUnreachable as error:
            _log.warning("connection_left", error=str(error))

    def _ask(self, call: Callable[[StoreClient], T], timeout_s: float) -> T:
        """Ask the client. One that gets no answer is left to its thread, and replaced."""
        client = self._client
        try:
            return answered_within(timeout_s, lambda: call(client), where=client.where)
        except StoreUnreachable:
            self._client = StoreClient(*self._place)
            raise
