"""What the gateway says of batch work: slots on offer, how fast it goes, how long a batch takes."""

from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.census import Census, Whereabouts
from serving.gateway.lines.figures import BatchFigures
from serving.gateway.lines.offers import BatchOffer, batch_offer
from serving.gateway.lines.partials import Checkpoint
from serving.gateway.lines.rates import LEAST_S, BatchRates
from serving.gateway.lines.work import Speed, Volume, duration
from serving.gateway.placement import ReplicaLoad
from serving.gateway.pool import Pool
from serving.wire import BatchSizePoint, BatchSizeProfile, ClassCounts
from tests.fakes.host import ListSink, fake_fleet, wait_until
from tests.gateway.conftest import EXACT, Stage
from tests.gateway.test_pool import state

FILLED = BatchOffer(replicas=1, slots=4, slots_at_rest=4, in_flight=4)


def load(host: str, *, interactive: int = 0, batch: int = 0, cap: int = 2) -> ReplicaLoad:
    return ReplicaLoad(host, interactive, batch, slots=8, interactive_cap=cap)


def test_replicas_without_interactive_work_offer_every_slot() -> None:
    offer = batch_offer([load("a"), load("b", batch=8)], in_flight=9)
    assert (offer.replicas, offer.slots, offer.slots_at_rest) == (2, 16, 16)
    assert not offer.is_filled


def test_beside_interactive_work_batch_is_offered_what_the_cap_leaves() -> None:
    offer = batch_offer([load("a", interactive=1, cap=3), load("b", interactive=5)], in_flight=2)
    assert (offer.slots, offer.slots_at_rest) == (2, 16)
    assert offer.is_filled


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20))))
def test_an_offer_is_never_negative_nor_above_the_slots(hosts: list[tuple[int, int, int]]) -> None:
    loads = [load(str(i), interactive=n, batch=b, cap=c) for i, (n, b, c) in enumerate(hosts)]
    offer = batch_offer(loads, in_flight=0)
    assert 0 <= offer.slots <= offer.slots_at_rest == 8 * len(hosts)


# ---------------------------------------------------------------- rates


def sampled(rates: BatchRates, offer: BatchOffer, *, tokens_per_s: int, seconds: int) -> None:
    for second in range(seconds + 1):
        rates.sample("m", offer, 1000.0 + second)
        rates.computed("m", prompt_tokens=0, output_tokens=tokens_per_s)


def test_a_rate_is_that_of_one_replica_with_its_slots_filled() -> None:
    rates = BatchRates()
    two = BatchOffer(replicas=2, slots=8, slots_at_rest=8, in_flight=20)
    sampled(rates, two, tokens_per_s=100, seconds=60)
    assert rates.work_tokens_per_s("m") == pytest.approx(50.0)
    assert rates.alone_work_tokens_per_s("m") == pytest.approx(50.0)


def test_what_a_few_requests_make_on_an_empty_engine_says_nothing() -> None:
    rates = BatchRates()
    sampled(rates, BatchOffer(1, 4, 4, in_flight=3), tokens_per_s=100, seconds=300)
    assert rates.work_tokens_per_s("m") is None


def test_what_ran_beside_interactive_work_is_no_rate_of_batch_alone() -> None:
    rates = BatchRates()
    sampled(rates, BatchOffer(1, 2, 4, in_flight=4), tokens_per_s=30, seconds=300)
    assert rates.work_tokens_per_s("m") == pytest.approx(30.0)
    assert rates.alone_work_tokens_per_s("m") is None


def test_too_little_was_seen_to_tell_a_rate() -> None:
    rates = BatchRates()
    sampled(rates, FILLED, tokens_per_s=100, seconds=int(LEAST_S) - 1)
    assert rates.work_tokens_per_s("m") is None


# ---------------------------------------------------------------- how long a batch takes


def test_a_batch_takes_its_work_by_the_rate_of_all_replicas() -> None:
    speed = Speed(replicas=2, most_replicas=2, work_tokens_per_s=50.0, mean_output_tokens=20.0)
    volume = Volume(lines=100, prompt_tokens=3000.0, most_output_tokens=10_000)
    assert duration(volume, speed).likely_s == pytest.approx((1000 + 2000) / 100)
    assert duration(volume, speed, ahead=1000.0).likely_s == pytest.approx(40.0)


def test_answers_are_not_taken_to_be_longer_than_they_may_be() -> None:
    speed = Speed(replicas=1, most_replicas=1, work_tokens_per_s=1.0, mean_output_tokens=500.0)
    volume = Volume(lines=10, prompt_tokens=0.0, most_output_tokens=50)
    assert duration(volume, speed).likely_s == pytest.approx(50.0)


def test_nothing_is_ruled_out_by_a_rate_that_nobody_measured() -> None:
    speed = Speed(replicas=1, most_replicas=1, work_tokens_per_s=1.0)
    assert duration(Volume(10**6, 10.0**9, 10**9), speed).least_s == 0.0


@given(
    lines=st.integers(1, 50_000),
    prompt=st.floats(0, 1e7),
    per_line=st.integers(1, 4000),
    unbounded=st.integers(0, 50_000),
    replicas=st.integers(0, 8),
    rate=st.floats(1, 1e5),
    most=st.none() | st.floats(1, 1e5),
    mean=st.none() | st.floats(1, 4000),
    ahead=st.floats(0, 1e8),
)
def test_the_least_is_never_above_the_likely(
    lines: int,
    prompt: float,
    per_line: int,
    unbounded: int,
    replicas: int,
    rate: float,
    most: float | None,
    mean: float | None,
    ahead: float,
) -> None:
    unbounded = min(lines, unbounded)
    volume = Volume(lines, prompt, (lines - unbounded) * per_line, unbounded)
    speed = Speed(replicas, 8, rate, most, mean)
    found = duration(volume, speed, ahead=ahead)
    assert 0 <= found.least_s <= found.likely_s
    assert duration(volume, speed, ahead=ahead + 1e6).likely_s >= found.likely_s


def test_a_measured_profile_stands_in_for_a_rate_not_seen_yet(tmp_path: Path) -> None:
    points = [BatchSizePoint(batch_size=1, tpot_s=0.1, ttft_s=0.1, tokens_per_s=10.0)]
    points += [BatchSizePoint(batch_size=8, tpot_s=0.2, ttft_s=0.1, tokens_per_s=40.0)]
    profile = BatchSizeProfile(model="m", hardware="x", measured_at=0.0, points=points)
    (tmp_path / "m.x.json").write_bytes(msgspec.json.encode(profile))
    (tmp_path / "n.x.json").write_bytes(b"{ torn")
    fleet = fake_fleet(["m"], {"a": "m", "b": "m"})
    figures = BatchFigures(fleet, Pool(fleet.hosts), Census(ListSink()), tmp_path)

    found = figures.duration("m", Volume(lines=80, prompt_tokens=0.0, most_output_tokens=800))

    assert found.likely_s == pytest.approx(20.0)
    assert found.least_s == pytest.approx(1.0)


def test_the_offer_counts_what_this_gateway_has_in_flight(tmp_path: Path) -> None:
    fleet = fake_fleet(["m"], {"a": "m"})
    pool, census = Pool(fleet.hosts), Census(ListSink())
    pool.report("a", state("a", running=ClassCounts(interactive=1)))
    figures = BatchFigures(fleet, pool, census, tmp_path)
    with Whereabouts(census, "m", "batch"):
        assert figures.offer("m") == BatchOffer(1, 1, 4, in_flight=1)


def test_the_figures_tell_how_many_batches_have_requests_here(tmp_path: Path) -> None:
    census = Census(ListSink())
    figures = BatchFigures(fake_fleet(["m"], {"a": "m"}), Pool([]), census, tmp_path)
    works = [
        Checkpoint(f"ada {key} 0", b"").work for key in ("batch_1/7", "batch_1/8", "batch_2/7")
    ]

    with ExitStack() as stack:
        for work in works:
            stack.enter_context(Whereabouts(census, "m", "batch", work))
        stack.enter_context(Whereabouts(census, "m", "interactive"))
        assert figures.told("m")["works"] == 2
    assert figures.told("m")["works"] == 0


def test_the_figures_tell_at_what_rate_batches_must_get_on(tmp_path: Path) -> None:
    census = Census(ListSink())
    figures = BatchFigures(fake_fleet(["m"], {"a": "m"}), Pool([]), census, tmp_path)

    with ExitStack() as stack:
        for due_in_s in (50.0, 50.0, 100.0, None, 0.1):
            stack.enter_context(Whereabouts(census, "m", "batch", "a batch", due_in_s))
        stack.enter_context(Whereabouts(census, "m", "interactive", "", 10.0))
        assert figures.told("m")["due_per_s"] == pytest.approx(0.02 + 0.02 + 0.01 + 1)
    assert figures.told("m")["due_per_s"] == 0


def test_the_fleet_route_tells_a_run_what_window_to_keep_open(stage: Stage) -> None:
    def told() -> list[int]:
        batch = next(m["batch"] for m in stage.fleet()["models"] if m["name"] == EXACT)
        return [batch["slots"], batch["slots_at_rest"], batch["in_flight"]]

    wait_until(lambda: told() == [8, 8, 0])
