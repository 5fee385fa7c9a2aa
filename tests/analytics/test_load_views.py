"""Offered load, batch backlog and swap times out of the store, against numbers made by hand."""

import random
import time

import pytest

from analytics.errors import StoreUnreachable
from analytics.events import Event
from analytics.forecast import BUCKET_S, LoadForecast, OfferedLoad
from analytics.history import LATE_S, LoadHistory
from analytics.traffic import TrafficReader
from tests.analytics.conftest import StoreProcess, record
from tests.analytics.samples import arrived, ended, gateway_sample, swap

AHEAD_S = 600.0
"""Samples are fresh for 5 s only; tests put theirs ahead: a slow machine changes nothing."""


@pytest.fixture
def store(shared_store: StoreProcess) -> StoreProcess:
    """A running store whose tables are empty."""
    shared_store.empty()
    return shared_store


def request(number: int, from_s: float, to_s: float | None, **changes: object) -> list[Event]:
    """A request's events; without an end if it goes on."""
    same = {"request_id": f"r{number}", "arrived_at": from_s, **changes}
    events: list[Event] = [arrived(**{k: v for k, v in same.items() if k != "output_tokens"})]
    if to_s is not None:
        events.append(ended(ended_at=to_s, **same))
    return events


def buckets(store: StoreProcess, since_s: float, until_s: float) -> list[dict[str, float]]:
    with store.reader() as reader:
        rows = reader.query(
            "FROM load_buckets($since_s, $until_s, 5.0)", {"since_s": since_s, "until_s": until_s}
        )
    return rows.drop("model", "request_class").to_dicts()


def test_a_bucket_has_arrivals_tokens_presence_and_the_most_at_once(store: StoreProcess) -> None:
    record(
        store,
        *request(1, 1001.0, 1003.0),
        *request(2, 1002.0, 1004.0, output_tokens=40),
        *request(3, 1008.0, 1012.0),
    )
    assert buckets(store, 1000.0, 1015.0) == [
        {
            "bucket": 200, "arrivals": 2, "ended": 2, "tokens": 80, "squared_tokens": 30**2 + 50**2,
            "busy_s": 3.0, "concurrency": 2,
        },
        {
            "bucket": 201, "arrivals": 1, "ended": 0, "tokens": 0, "squared_tokens": 0,
            "busy_s": 2.0, "concurrency": 1,
        },
        {
            "bucket": 202, "arrivals": 0, "ended": 1, "tokens": 30, "squared_tokens": 900,
            "busy_s": 2.0, "concurrency": 0,
        },
    ]  # fmt: skip


def test_a_request_from_before_the_window_is_present_in_it(store: StoreProcess) -> None:
    record(store, *request(1, 990.0, 1007.0))
    rows = buckets(store, 1000.0, 1010.0)
    assert [(row["arrivals"], row["busy_s"]) for row in rows] == [(0, 5.0), (0, 2.0)]
    assert rows[0]["concurrency"] == 1


def test_requests_of_a_gateway_that_died_are_not_present_for_ever(store: StoreProcess) -> None:
    record(store, *request(1, 1001.0, None))
    (row,) = buckets(store, 1000.0, 1010.0)
    assert (row["arrivals"], row["busy_s"]) == (1, 0.0)


def test_requests_that_run_are_present_until_now(store: StoreProcess) -> None:
    record(
        store,
        *request(1, 1001.0, None),
        gateway_sample(sampled_at=time.time() + AHEAD_S, running=1),
    )
    assert [row["busy_s"] for row in buckets(store, 1000.0, 1010.0)] == [4.0, 5.0]


def test_arrivals_by_slot(store: StoreProcess) -> None:
    record(store, *[e for n, at in enumerate((10.0, 899.0, 900.0)) for e in request(n, at, None)])
    with store.reader() as reader:
        rows = reader.query("FROM arrivals_by_slot(0.0, 2000.0, 900.0)")
    assert rows.select("bucket", "arrivals").rows() == [(0, 2.0), (1, 1.0)]


def test_the_store_and_the_simulator_count_and_forecast_the_same(store: StoreProcess) -> None:
    now_s = time.time()
    began_s = (now_s - 900.0) // BUCKET_S * BUCKET_S
    draw = random.Random(5)
    spans = sorted(
        (began_s + draw.uniform(1, 880), draw.uniform(0.1, 15), draw.randrange(1, 400))
        for _ in range(400)
    )
    events = [
        event
        for n, (at_s, lasts_s, tokens) in enumerate(spans)
        if at_s + lasts_s < now_s - 10
        for event in request(n, at_s, at_s + lasts_s, output_tokens=tokens)
    ]
    record(store, *events)
    with store.reader() as reader:
        counted = LoadHistory([("m", "interactive")]).forecasts(reader, now_s, 60.0)
    assert_alike(counted["m", "interactive"], simulated(events, now_s))


def simulated(events: list[Event], now_s: float) -> LoadForecast:
    steps = [
        (row["ended_at"], 1, row["prompt_tokens"] + row["output_tokens"])
        if "ended_at" in row
        else (row["arrived_at"], 0, 0)
        for row in ({name: getattr(e, name) for name in e.__struct_fields__} for e in events)
    ]
    steps.sort()
    load = OfferedLoad(1, steps[0][0])
    for at_s, ends, tokens in steps:
        if ends:
            load.end(0, at_s, tokens)
        else:
            load.arrive(0, at_s)
    (found,) = load.forecast(now_s - LATE_S, 60.0)
    return found


def assert_alike(counted: LoadForecast, simulated: LoadForecast) -> None:
    for name in LoadForecast.__struct_fields__:
        assert getattr(counted, name) == pytest.approx(getattr(simulated, name), rel=1e-3), name


def test_a_later_read_goes_on_from_the_one_before(store: StoreProcess) -> None:
    now_s = time.time()
    history = LoadHistory([("m", "interactive")])
    record(store, *[e for n in range(60) for e in request(n, now_s - 70 + n, now_s - 69.5 + n)])
    with store.reader() as reader:
        history.forecasts(reader, now_s - 30, 60.0)
        once = history.forecasts(reader, now_s, 60.0)
        anew = LoadHistory([("m", "interactive")]).forecasts(reader, now_s, 60.0)
    assert_alike(once["m", "interactive"], anew["m", "interactive"])


def test_models_without_traffic_have_a_forecast_of_nothing(store: StoreProcess) -> None:
    with store.reader() as reader:
        found = LoadHistory([("m", "batch")]).forecasts(reader, time.time(), 60.0)
    assert found["m", "batch"].mean_tokens_per_s == 0.0


def test_the_backlog_has_the_rate_that_keeps_all_deadlines(store: StoreProcess) -> None:
    now = time.time()
    batch = {"request_class": "batch"}
    record(
        store,
        gateway_sample(sampled_at=now + AHEAD_S, request_class="batch", waiting=3, running=2),
        arrived(request_id="lost", arrived_at=now - 9000, deadline_s=1.0, **batch),
        *[arrived(request_id=f"a{n}", arrived_at=now - 50, deadline_s=150.0, **batch)
          for n in range(3)],
        arrived(request_id="b", arrived_at=now - 50, deadline_s=1050.0, **batch),
        arrived(request_id="c", arrived_at=now - 40, **batch),
        arrived(request_id="done", arrived_at=now - 30, deadline_s=31.0, **batch),
        ended(request_id="done", arrived_at=now - 30, ended_at=now - 1, **batch),
    )  # fmt: skip
    with store.reader() as reader:
        (row,) = reader.query("FROM batch_backlog").to_dicts()
    assert (row["model"], row["requests"], row["with_deadline"]) == ("m", 5, 4)
    assert row["first_deadline_in_s"] <= 100
    assert row["due_requests_per_s"] >= 3 / 100
    assert row["due_requests_per_s"] == pytest.approx(3 / row["first_deadline_in_s"], rel=0.1)


def test_swap_seconds_are_of_committed_hotswaps_by_host_model_and_tier(
    store: StoreProcess,
) -> None:
    record(
        store,
        *[swap(from_model="a", total_s=float(n)) for n in (1, 2, 9)],
        swap(from_model="a", host="host-1", from_tier="disk", total_s=20.0),
        swap(from_model="a", outcome="rolled_back", total_s=99.0),
        swap(from_model=None, total_s=99.0),
    )
    with store.reader() as reader:
        rows = reader.query("FROM swap_seconds").rows()
    assert rows == [("host-0", "m", "asleep", 3, 2.0), ("host-1", "m", "disk", 1, 20.0)]


def test_a_store_that_does_not_answer_is_unreachable_and_comes_back(
    stopped_store: StoreProcess,
) -> None:
    stopped_store.start()
    with TrafficReader(*stopped_store.place, timeout_s=0.5) as reader:
        reader.wait_ready(120)
        stopped_store.freeze()
        began = time.monotonic()
        with pytest.raises(StoreUnreachable, match="no answer within"):
            reader.query("SELECT 1")
        assert time.monotonic() - began < 60
        stopped_store.thaw()
        reader.wait_ready(120)
