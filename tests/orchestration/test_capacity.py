"""What a replica does, and how the planner knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.traffic import ModelTraffic
from orchestration.allocation.load.capacity import Capacity, capacities
from orchestration.allocation.planner import propose
from serving.wire import BatchSizeProfile
from tests.orchestration.building import a_fleet, a_model, a_profile, a_state, traffic

SIZES = [(1, 0.02, 50.0), (2, 0.02, 90.0), (4, 0.03, 150.0), (8, 0.06, 200.0)]


def capacity(
    profiles: list[BatchSizeProfile],
    *,
    tpot_s: float = 0.1,
    rows: list[ModelTraffic] | None = None,
) -> Capacity:
    fleet = a_fleet([a_model("a", tokens_per_s=120, tpot_s=tpot_s)], hosts=1)
    return capacities(fleet, profiles, {"host-0": a_state("host-0", "a")}, rows or [])["a"]


def test_without_a_profile_the_fleet_file_says_what_a_replica_does() -> None:
    assert capacity([]) == Capacity(tokens_per_s=120, source="by the fleet file", concurrency=8)


def test_a_profile_says_it_at_the_largest_batch_size_within_the_service_level() -> None:
    profile = a_profile("a", SIZES)

    assert capacity([profile], tpot_s=0.1).tokens_per_s == pytest.approx(200)
    assert capacity([profile], tpot_s=0.05).tokens_per_s == pytest.approx(150)
    assert capacity([profile], tpot_s=0.05).source == "measured at batch size 4 on a machine"


def test_where_no_batch_size_is_within_the_service_level_the_smallest_counts() -> None:
    assert capacity([a_profile("a", SIZES)], tpot_s=0.001).tokens_per_s == pytest.approx(50)


def test_a_batch_size_that_waits_too_long_for_a_first_token_is_not_within_it() -> None:
    assert capacity([a_profile("a", SIZES, ttft_s=9)]).tokens_per_s == pytest.approx(50)


def test_a_profile_of_hardware_that_no_host_has_says_nothing() -> None:
    assert capacity([a_profile("a", SIZES, hardware="gone")]).source == "by the fleet file"


def test_of_several_kinds_of_hardware_the_slowest_counts() -> None:
    fleet = a_fleet([a_model("a")], hosts=2)
    states = {
        "host-0": a_state("host-0", "a", hardware="slow"),
        "host-1": a_state("host-1", "a", hardware="fast"),
    }
    profiles = [
        a_profile("a", SIZES, hardware="slow"),
        a_profile("a", [(1, 0.001, 9000.0)], hardware="fast"),
    ]

    assert capacities(fleet, profiles, states, [])["a"].source.endswith("slow")


def test_prompt_tokens_count_at_the_speed_at_which_they_are_read() -> None:
    profile = a_profile("a", SIZES, ttft_s=0.1, prompt_tokens=80)  # 800 prompt tokens a second
    half_and_half = [traffic("a", tokens_per_s=60)]

    # Half a second's worth of each: 1 / (0.5 / 800 + 0.5 / 200).
    assert capacity([profile], rows=half_and_half).tokens_per_s == pytest.approx(320)


def test_the_share_of_a_small_batch_follows_the_profile() -> None:
    measured = capacity([a_profile("a", SIZES)])

    assert measured.share_at(8, slots=8) == 1.0
    assert measured.share_at(4, slots=8) == pytest.approx(150 / 200)
    assert measured.share_at(3, slots=8) == pytest.approx(120 / 200)
    assert capacity([]).share_at(2, slots=8) == pytest.approx(0.25)


@given(
    st.lists(st.floats(0.01, 1e4), min_size=1, max_size=8),
    st.floats(0, 200),
    st.integers(1, 200),
)
def test_a_share_is_a_share_whatever_was_measured(
    rates: list[float], batch_size: float, slots: int
) -> None:
    measured = Capacity(
        tokens_per_s=1, source="", rates=tuple((2**n, rate) for n, rate in enumerate(rates))
    )

    assert 0 <= measured.share_at(batch_size, slots) <= 1


def test_reasons_say_what_a_replica_does_and_how_it_is_known() -> None:
    fleet = a_fleet([a_model("a", tokens_per_s=120), a_model("b")], hosts=2)
    states = {"host-0": a_state("host-0", "a"), "host-1": a_state("host-1", "b")}
    rows = [traffic("a", tokens_per_s=300)]

    stated = propose(fleet, states, rows, now=0.0)
    measured = propose(fleet, states, rows, now=0.0, profiles=[a_profile("a", SIZES)])

    assert "each 120 tokens/s by the fleet file" in stated.moves[0].reason
    assert "each 200 tokens/s measured at batch size 8 on a machine" in measured.moves[0].reason
    assert "a load of 1.50 replicas" in measured.moves[0].reason
