"""What hotswaps cost, learned from records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.allocation.placing.swap_cost import ASSUMED_SWAP_S, assumed_swap_cost
from orchestration.allocation.placing.swap_costs import SwapRecord, learned_swap_cost
from serving.wire import Tier

TIERS: list[Tier] = ["awake", "asleep", "parked", "disk", "absent"]

records = st.lists(
    st.builds(
        SwapRecord,
        host=st.sampled_from(["h0", "h1"]),
        model=st.sampled_from(["a", "b"]),
        tier=st.sampled_from(TIERS),
        swaps=st.integers(1, 1000),
        median_s=st.floats(0.0, 600.0),
    ),
    unique_by=lambda record: record[:3],
)


@pytest.mark.parametrize("tier", TIERS)
def test_without_records_it_is_what_is_assumed(tier: Tier) -> None:
    assert learned_swap_cost([])("h0", "a", tier) == assumed_swap_cost("h0", "a", tier)


def test_many_swaps_on_a_host_are_believed() -> None:
    cost = learned_swap_cost([SwapRecord("h0", "a", "asleep", 300, 4.0)])
    assert cost("h0", "a", "asleep") == pytest.approx(4.0, rel=0.02)


def test_one_odd_swap_is_hardly_believed() -> None:
    known = [SwapRecord(f"h{n}", "a", "asleep", 100, 1.0) for n in range(1, 5)]
    cost = learned_swap_cost([*known, SwapRecord("h0", "a", "asleep", 1, 60.0)])
    assert cost("h0", "a", "asleep") < 20
    assert cost("h0", "a", "asleep") > cost("h1", "a", "asleep")


def test_a_host_without_records_has_its_models_figure() -> None:
    cost = learned_swap_cost(
        [
            SwapRecord("h0", "a", "disk", 50, 30.0),
            SwapRecord("h0", "b", "disk", 50, 3.0),
        ]
    )
    assert cost("h9", "a", "disk") > 3 * cost("h9", "b", "disk")


def test_a_model_without_records_has_its_tiers_figure() -> None:
    cost = learned_swap_cost([SwapRecord("h0", "a", "disk", 1000, 40.0)])
    assert cost("h0", "unseen", "disk") == pytest.approx(40.0, rel=0.02)
    assert cost("h0", "unseen", "asleep") == ASSUMED_SWAP_S["asleep"]


@given(records, st.sampled_from(["h0", "h9"]), st.sampled_from(["a", "z"]), st.sampled_from(TIERS))
def test_a_cost_lies_between_what_was_recorded_and_what_is_assumed(
    seen: list[SwapRecord], host: str, model: str, tier: Tier
) -> None:
    figures = [ASSUMED_SWAP_S[tier], *(r.median_s for r in seen if r.tier == tier)]
    cost = learned_swap_cost(seen)(host, model, tier)
    assert min(figures) - 1e-6 <= cost <= max(figures) + 1e-6
