"""Reading the traffic store for the planner, also while it is away or does not answer."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.allocation.reading import traffic_source
from orchestration.allocation.reading.traffic_source import Asked, TrafficSource, shared_source
from serving.config import StateFolder
from tests.analytics.conftest import ADDRESS, TOKEN, StoreProcess
from tests.analytics.samples import arrived, ended, gateway_sample, swap
from tests.orchestration.building import a_fleet, a_model

AHEAD_S = 60.0
ANSWER_S = 8.0
"""Of a slow machine too."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreProcess]:
    """A store with a little traffic for the model m, which a request waits for."""
    process = StoreProcess(tmp_path)
    process.start()
    now = time.time()
    writer = process.writer()
    for second in range(1, 20):
        same = {"request_id": f"r{second}", "arrived_at": now - second - 5}
        writer.append(arrived(**same))
        writer.append(ended(ended_at=now - second - 4, **same))
    writer.append(gateway_sample(sampled_at=now + AHEAD_S, waiting=1))
    writer.append(swap(from_model="n", total_s=5.0))
    writer.close(timeout_s=60)
    yield process
    process.stop(9)


@pytest.fixture
def source(store: StoreProcess) -> Iterator[TrafficSource]:
    found = TrafficSource(Asked(ADDRESS, store.port, TOKEN, ("m",), 600.0, 60.0), answer_s=ANSWER_S)
    yield found
    found.close()


def test_a_view_has_statistics_forecasts_and_swap_costs(source: TrafficSource) -> None:
    view = source.read()
    assert view.error is None
    assert view.rows[0].waiting == 1
    assert view.outlook.forecasts["m", "interactive"].mean_tokens_per_s > 0
    assert view.swap_cost("host-0", "m", "asleep") > view.swap_cost("host-0", "m", "awake")


def test_a_store_that_does_not_answer_leaves_the_last_view_without_what_waited(
    store: StoreProcess, source: TrafficSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = source.read()
    store.freeze()
    view = source.read()
    assert view.error is not None
    assert "no answer within" in view.error
    assert "ago are used" in view.error
    assert view.outlook == before.outlook
    assert [(row.arrivals, row.waiting) for row in view.rows] == [
        (row.arrivals, 0) for row in before.rows
    ]
    monkeypatch.setattr(traffic_source, "BELIEVED_S", 0.0)
    assert source.read().rows == []


def test_a_store_that_does_not_answer_is_left_alone_for_a_while(
    store: StoreProcess, source: TrafficSource
) -> None:
    source.read()
    store.freeze()
    source.read()
    began = time.monotonic()
    for _ in range(20):
        source.read()
    assert time.monotonic() - began < ANSWER_S


def test_a_store_that_is_back_is_read_again(store: StoreProcess, source: TrafficSource) -> None:
    source.read()
    store.stop(9)
    assert source.read().error is not None
    store.start()
    until = time.monotonic() + 120
    while source.read().error is not None:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_one_source_serves_all_looks_of_a_process(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    (state.folder("secrets") / "store").write_text(TOKEN)
    fleet = a_fleet([a_model("m")], hosts=1)
    assert shared_source(fleet, state) is shared_source(fleet, state)
    other = a_fleet([a_model("n")], hosts=1)
    assert shared_source(other, state) is not shared_source(fleet, state)
