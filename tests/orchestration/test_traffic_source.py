"""Reading the traffic store for the planner, also while it is away or does not answer."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from analytics.errors import StoreUnreachable
from orchestration.allocation.reading import traffic_source
from orchestration.allocation.reading.traffic_source import (
    LONGEST_REST_S,
    Asked,
    TrafficSource,
    TrafficView,
    shared_source,
)
from serving.config import StateFolder
from tests.analytics.conftest import ADDRESS, TOKEN, StoreProcess
from tests.analytics.samples import arrived, ended, gateway_sample, swap
from tests.orchestration.building import a_fleet, a_model

AHEAD_S = 600.0
ANSWER_S = 4.0
LIMIT_S = 120.0


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
    writer.close(timeout_s=LIMIT_S)
    yield process
    process.stop(9)


@pytest.fixture
def source(store: StoreProcess) -> Iterator[TrafficSource]:
    found = TrafficSource(Asked(ADDRESS, store.port, TOKEN, ("m",), 600.0, 60.0), answer_s=ANSWER_S)
    yield found
    found.close()


def answered(source: TrafficSource) -> TrafficView:
    """What the store says: on a slow machine perhaps not the first time."""
    until = time.monotonic() + LIMIT_S
    while (view := source.read()).error is not None:
        assert time.monotonic() < until, view.error
        time.sleep(0.1)
    return view


def test_a_view_has_statistics_forecasts_and_swap_costs(source: TrafficSource) -> None:
    view = answered(source)
    assert view.rows[0].waiting == 1
    assert view.outlook.forecasts["m", "interactive"].mean_tokens_per_s > 0
    assert view.swap_cost("host-0", "m", "asleep") > view.swap_cost("host-0", "m", "awake")


def test_a_store_that_does_not_answer_leaves_the_last_view_without_what_waited(
    store: StoreProcess, source: TrafficSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answered(source)
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


class Hanging(TrafficSource):
    """Of a store that never answers, on a clock of its own."""

    def __init__(self) -> None:
        super().__init__(Asked(ADDRESS, 1, TOKEN, ("m",), 600.0, 60.0), answer_s=ANSWER_S)
        self.now_s = 1000.0
        self.reads_at: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def _read(self) -> TrafficView:
        self.reads_at.append(self.now_s)
        self.now_s += ANSWER_S
        raise StoreUnreachable("no answer", where="the store", fix="None.")


def test_a_store_that_does_not_answer_is_left_alone_for_longer_and_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Hanging()
    monkeypatch.setattr(traffic_source, "time", source)

    while len(source.reads_at) < 7:
        source.read()
        source.now_s += 0.5

    rests_s = [after - before - ANSWER_S for before, after in pairwise(source.reads_at)]
    assert rests_s == [4.0, 8.0, 16.0, 32.0, LONGEST_REST_S, LONGEST_REST_S]


def test_a_store_that_is_back_is_read_again(store: StoreProcess, source: TrafficSource) -> None:
    answered(source)
    store.stop(9)
    assert source.read().error is not None
    store.start()
    answered(source)


def test_one_source_serves_all_looks_of_a_process(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    (state.folder("secrets") / "store").write_text(TOKEN)
    fleet = a_fleet([a_model("m")], hosts=1)
    assert shared_source(fleet, state) is shared_source(fleet, state)
    other = a_fleet([a_model("n")], hosts=1)
    assert shared_source(other, state) is not shared_source(fleet, state)
