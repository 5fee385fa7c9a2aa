"""The statistics, against numbers worked out by hand."""

import time

import polars
import pytest

from analytics.swap_activity import swap_activity
from analytics.traffic import ModelTraffic
from tests.analytics.conftest import StoreProcess, record
from tests.analytics.samples import (
    NOW,
    arrived,
    batch_size_point,
    ended,
    engine_sample,
    evaluation,
    eviction,
    gateway_sample,
    plan,
    swap,
)

AHEAD_S = 600.0
"""Samples are fresh for 5 s only; tests put theirs ahead: a slow machine changes nothing."""
WINDOW_S = 600.0
"""Long, for the same reason."""


@pytest.fixture
def store(shared_store: StoreProcess) -> StoreProcess:
    """A running store whose tables are empty."""
    shared_store.empty()
    return shared_store


def traffic_of(store: StoreProcess, model: str, request_class: str) -> ModelTraffic:
    with store.reader() as reader:
        (row,) = [
            row
            for row in reader.model_traffic(WINDOW_S)
            if (row.model, row.request_class) == (model, request_class)
        ]
    return row


def test_rates_and_quantiles_over_the_window(store: StoreProcess) -> None:
    now = time.time()
    record(
        store,
        *[arrived(request_id=f"r{n}", arrived_at=now - 20) for n in range(5)],
        *[
            ended(request_id=f"r{n}", ended_at=now - 10, ttft_s=float(n), queue_s=n / 10)
            for n in range(5)
        ],
        ended(request_id="old", ended_at=now - 2 * WINDOW_S, ttft_s=99.0),
    )
    row = traffic_of(store, "m", "interactive")
    assert (row.arrivals, row.ended, row.failed) == (5, 5, 0)
    assert row.prompt_tokens_per_s == pytest.approx(5 * 10 / WINDOW_S)
    assert row.output_tokens_per_s == pytest.approx(5 * 20 / WINDOW_S)
    assert row.ttft_p50_s == pytest.approx(2.0)
    assert row.ttft_p95_s == pytest.approx(3.8)
    assert row.queue_p95_s == pytest.approx(0.38)
    assert row.tpot_p50_s == pytest.approx(0.02)


def test_models_and_classes_are_counted_apart(store: StoreProcess) -> None:
    now = time.time()
    record(
        store,
        arrived(request_id="a", arrived_at=now),
        arrived(request_id="b", arrived_at=now, request_class="batch"),
        arrived(request_id="c", arrived_at=now, request_class="batch"),
        arrived(request_id="d", arrived_at=now, model="n"),
    )
    with store.reader() as reader:
        counted = {(r.model, r.request_class): r.arrivals for r in reader.model_traffic(WINDOW_S)}
    assert counted == {("m", "interactive"): 1, ("m", "batch"): 2, ("n", "interactive"): 1}


def test_failures_are_failed_outcomes_and_server_errors(store: StoreProcess) -> None:
    now = time.time()
    record(
        store,
        ended(request_id="a", ended_at=now),
        ended(request_id="b", ended_at=now, outcome="failed", status=200),
        ended(request_id="c", ended_at=now, outcome="rejected", status=503),
        ended(request_id="d", ended_at=now, outcome="rejected", status=400),
        ended(request_id="e", ended_at=now, outcome="cancelled", status=200),
    )
    row = traffic_of(store, "m", "interactive")
    assert (row.ended, row.failed) == (5, 2)


def test_waiting_now_is_the_latest_sample_and_what_arrived_after_it(store: StoreProcess) -> None:
    now = time.time() + AHEAD_S
    record(
        store,
        gateway_sample(sampled_at=now - 2, waiting=9, running=9),
        gateway_sample(sampled_at=now - 1, waiting=2, running=3),
        arrived(request_id="sampled", arrived_at=now - 1.5),
        arrived(request_id="new", arrived_at=now - 0.5),
        arrived(request_id="done", arrived_at=now - 0.4),
        ended(request_id="done", ended_at=now - 0.1),
    )
    row = traffic_of(store, "m", "interactive")
    assert (row.waiting, row.running) == (3, 3)


def test_a_request_for_a_model_never_sampled_is_seen_at_once(store: StoreProcess) -> None:
    record(store, arrived(model="cold", arrived_at=time.time() + AHEAD_S))
    row = traffic_of(store, "cold", "interactive")
    assert (row.arrivals, row.waiting, row.running) == (1, 1, 0)


def test_a_stale_sample_says_nothing_about_now(store: StoreProcess) -> None:
    now = time.time()
    record(
        store,
        gateway_sample(sampled_at=now - 30, waiting=4, running=4),
        arrived(arrived_at=now - 29),
    )
    row = traffic_of(store, "m", "interactive")
    assert (row.arrivals, row.waiting, row.running) == (1, 0, 0)


def test_evictions_count_for_the_class_of_their_request(store: StoreProcess) -> None:
    now = time.time()
    record(
        store,
        arrived(request_id="chat", arrived_at=now - 2 * WINDOW_S),
        arrived(request_id="work", arrived_at=now - 2 * WINDOW_S, request_class="batch"),
        eviction(request_id="chat", evicted_at=now, reason="hotswap"),
        eviction(request_id="work", evicted_at=now),
        eviction(request_id="work", evicted_at=now),
        eviction(request_id="unknown", evicted_at=now),
        ended(request_id="work", ended_at=now, request_class="batch", recomputed_tokens=70),
    )
    assert traffic_of(store, "m", "interactive").evictions == 1
    batch = traffic_of(store, "m", "batch")
    assert (batch.evictions, batch.recomputed_tokens) == (3, 70)


def test_no_traffic_is_no_rows(store: StoreProcess) -> None:
    with store.reader() as reader:
        assert reader.model_traffic(WINDOW_S) == []


def test_the_series_has_one_row_a_minute(store: StoreProcess) -> None:
    record(
        store,
        arrived(request_id="a", arrived_at=120.0),
        arrived(request_id="b", arrived_at=179.9),
        arrived(request_id="c", arrived_at=180.0),
        ended(request_id="a", ended_at=181.0, output_tokens=60, evictions=2, recomputed_tokens=5),
    )
    with store.reader() as reader:
        rows = reader.query("FROM traffic_per_minute")
    assert rows["arrivals"].to_list() == [2, 1]
    assert rows["ended"].to_list() == [0, 1]
    assert rows["output_tokens_per_s"].to_list() == [0.0, 1.0]
    assert rows["evictions"].to_list() == [0, 2]
    assert rows["minute"].dt.minute().to_list() == [2, 3]


def test_evictions_a_minute_and_swaps_latest_first(store: StoreProcess) -> None:
    record(
        store,
        eviction(evicted_at=61.0, kept_tokens=3),
        eviction(evicted_at=62.0, kept_tokens=4),
        swap(ended_at=10.0, plan_id=1),
        swap(ended_at=20.0, plan_id=2),
    )
    with store.reader() as reader:
        evictions = reader.query("FROM evictions_per_minute")
        swaps = reader.query("FROM swap_history")
    assert evictions["evictions"].to_list() == [2]
    assert evictions["kept_tokens"].to_list() == [7]
    assert swaps["plan_id"].to_list() == [2, 1]


def test_present_hosts_has_the_latest_sample_of_each(store: StoreProcess) -> None:
    now = time.time()
    record(
        store,
        engine_sample(sampled_at=now - 2, running_batch=1),
        engine_sample(sampled_at=now - 1, running_batch=5),
        engine_sample(sampled_at=now - 1, host="host-1", awake_model=None),
    )
    with store.reader() as reader:
        rows = reader.query("SELECT host, running_batch, age_s FROM present_hosts ORDER BY host")
    assert rows["running_batch"].to_list() == [5, 2]
    assert rows.filter(polars.col("age_s") > 60).is_empty()


def test_swap_times_are_by_tier_and_by_gap(store: StoreProcess) -> None:
    record(
        store,
        *[swap(from_model="a", total_s=float(n), service_gap_s=n / 10) for n in range(1, 4)],
        swap(from_model="a", total_s=9.0, service_gap_s=0.0),
        swap(from_model="a", from_tier="disk", total_s=20.0, service_gap_s=19.0),
        swap(from_model="a", outcome="rolled_back", total_s=99.0),
        swap(from_model=None, total_s=99.0),
    )
    with store.reader() as reader:
        rows = reader.query("FROM swap_times").rows()
    assert rows == [
        ("planned", "asleep", True, 3, 2.0, pytest.approx(2.98), 0.2, pytest.approx(0.298), 3),
        ("planned", "asleep", False, 1, 9.0, 9.0, 0.0, 0.0, 1),
        ("planned", "disk", True, 1, 20.0, 20.0, 19.0, 19.0, 1),
    ]


def test_setbacks_are_failures_since_the_last_success_on_that_host(store: StoreProcess) -> None:
    now = time.time()
    record(
        store,
        *[swap(outcome="rolled_back", ended_at=now - age_s) for age_s in (50, 30, 20)],
        swap(ended_at=now - 40),
        swap(outcome="rolled_back", to_model="n", ended_at=now - 40),
        swap(to_model="n", ended_at=now - 10),
        swap(host="host-1", outcome="failed", ended_at=now - 10),
        swap(host="host-1", outcome="cancelled", to_model="n", ended_at=now - 10),
        swap(host="host-2", outcome="failed", ended_at=now - 4000),
    )
    with store.reader() as reader:
        rows = reader.query("SELECT host, model, times, last_at FROM swap_setbacks").rows()
    assert rows == [("host-1", "m", 1, now - 10), ("host-0", "m", 2, now - 20)]


def test_decisions_are_plans_and_evaluations_latest_first(store: StoreProcess) -> None:
    record(
        store, plan(made_at=NOW - 2), evaluation(evaluated_at=NOW - 1), plan(overrides=["a pin"])
    )
    with store.reader() as reader:
        rows = reader.query("SELECT kind, because, overrides FROM decision_history").rows()
    assert rows == [
        ("plan", "sensor", ["a pin"]),
        ("evaluation", "nothing to move. a stays", ["planned moves are frozen"]),
        ("plan", "sensor", []),
    ]


def test_switches_are_told_apart_from_planned_hotswaps(store: StoreProcess) -> None:
    now = time.time()
    switch = {"kind": "switch", "asked_by": "gateway", "plan_id": 3, "from_model": "a"}
    record(
        store,
        swap(ended_at=now - 9, from_model="a", total_s=4.0),
        swap(ended_at=now - 8, total_s=1.0, waited_s=0.2, **switch),
        swap(ended_at=now - 7, to_model="n", total_s=3.0, waited_s=0.4, **switch),
        swap(ended_at=now - 6, outcome="rolled_back", waited_s=0.3, **switch),
        swap(ended_at=now - 2 * WINDOW_S, **switch),
    )
    with store.reader() as reader:
        planned, switched = swap_activity(reader, WINDOW_S)
    assert (planned.kind, planned.committed, planned.took_p50_s) == ("planned", 1, 4.0)
    assert planned.waited_p50_s is None
    assert (switched.kind, switched.committed, switched.failed) == ("switch", 2, 1)
    assert (switched.took_p50_s, switched.waited_p50_s) == (2.0, pytest.approx(0.3))


def test_squeezed_batch_is_a_mean_over_the_window_summed_over_hosts(store: StoreProcess) -> None:
    now = time.time()
    chatting = {"running_interactive": 2, "waiting_interactive": 0}
    quiet = {"running_interactive": 0, "waiting_interactive": 0}
    record(
        store,
        gateway_sample(sampled_at=now + AHEAD_S, request_class="batch", waiting=3),
        *[engine_sample(sampled_at=now, held_batch=6, interactive_cap=2, **chatting)] * 3,
        *[engine_sample(sampled_at=now, held_batch=0, interactive_cap=9, **quiet)] * 3,
        engine_sample(sampled_at=now, host="host-1", held_batch=1, interactive_cap=5, **chatting),
        engine_sample(sampled_at=now - 2 * WINDOW_S, held_batch=50, interactive_cap=1, **chatting),
        engine_sample(sampled_at=now, host="host-2", awake_model="n", held_batch=9, **chatting),
    )
    row = traffic_of(store, "m", "batch")
    assert row.held == pytest.approx(3 + 1)
    assert row.capped_replicas == pytest.approx(0.5 + 1)
    assert row.mean_cap == pytest.approx((0.5 * 2 + 1 * 5) / 1.5)


def test_interactive_rows_are_not_squeezed(store: StoreProcess) -> None:
    now = time.time()
    record(store, arrived(arrived_at=now), engine_sample(sampled_at=now, held_batch=2))
    row = traffic_of(store, "m", "interactive")
    assert (row.held, row.capped_replicas, row.mean_cap) == (0.0, 0.0, None)


def test_evictions_in_place_and_held_time_are_told_apart(store: StoreProcess) -> None:
    now = time.time()
    record(
        store,
        eviction(request_id="a", evicted_at=now, in_place=True),
        eviction(request_id="a", evicted_at=now, in_place=True),
        eviction(request_id="b", evicted_at=now),
        ended(request_id="a", ended_at=now, request_class="batch", held_s=4.0),
        ended(request_id="b", ended_at=now, request_class="batch", held_s=1.5),
    )
    row = traffic_of(store, "m", "batch")
    assert (row.evictions, row.evictions_in_place, row.held_s) == (3, 2, 5.5)
    with store.reader() as reader:
        assert reader.query("SELECT sum(in_place) AS n FROM evictions_per_minute")["n"][0] == 2
        assert reader.query("SELECT sum(held_s) AS s FROM traffic_per_minute")["s"][0] == 5.5


def test_the_latest_profile_of_each_model_and_hardware_is_seen(store: StoreProcess) -> None:
    now = time.time()
    record(
        store,
        *[batch_size_point(measured_at=now - 60, batch_size=size) for size in (1, 2, 4)],
        *[batch_size_point(measured_at=now, batch_size=size) for size in (2, 1)],
        batch_size_point(measured_at=now - 60, hardware="another", batch_size=1),
    )
    with store.reader() as reader:
        rows = reader.query("SELECT hardware, batch_size FROM batch_size_profiles").rows()
    assert rows == [("a machine", 1), ("a machine", 2), ("another", 1)]
