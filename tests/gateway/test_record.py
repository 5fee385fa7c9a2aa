"""The record of a request, where no gateway is needed to see what it says."""

import time

import pytest

from serving.gateway.record import RequestRecord


def record(deadline_s: float | None) -> RequestRecord:
    return RequestRecord(
        request_id="r",
        model="m",
        request_class="batch",
        endpoint="/v1/completions",
        replica_wait_s=1.0,
        deadline_at=None if deadline_s is None else time.monotonic() + deadline_s,
    )


def test_an_arrival_says_how_long_after_it_the_batch_is_due() -> None:
    assert record(900.0).arrival().deadline_s == pytest.approx(900.0, abs=60)
    assert record(None).arrival().deadline_s is None
