"""The co-serving benchmark's pure parts: its workload, the oracle and the ceiling."""

import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.coserve.ceiling import (
    ProfilePoint,
    batch_share_ceiling,
    presence_of,
    room_beside,
    tpot_at,
)
from benchmarks.coserve.oracle import CapSample, Presence, excess_percent, least_evictions
from benchmarks.coserve.prompts import prompts_of
from benchmarks.coserve.workload import (
    PERIOD_S,
    SIZES,
    Size,
    answer_tokens,
    batch_work,
    bursts,
    halves,
    window_s,
)
from benchmarks.setting import BenchmarkUnable

LIGHT, HEAVY = SIZES
TEXTS = ["one", "two", "three"]


# --- the workload ------------------------------------------------------------------------------


def test_every_arm_gets_the_same_arrivals_and_another_seed_gives_others() -> None:
    made = [bursts(HEAVY, TEXTS, seed, number=3, mean_tokens=100) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_bursts_come_period_by_period_with_all_their_requests() -> None:
    arrivals = bursts(HEAVY, TEXTS, 1, number=3, mean_tokens=100)
    by_burst = [int(arrival.at_s // PERIOD_S) for arrival in arrivals]
    assert by_burst == [0] * 6 + [1] * 6 + [2] * 6
    assert all(75 <= arrival.question.max_tokens <= 125 for arrival in arrivals)


def test_two_halves_have_the_same_requests_as_the_whole() -> None:
    arrivals = bursts(HEAVY, TEXTS, 1, number=4, mean_tokens=100)
    early, late = halves(arrivals, 4)
    assert [a.question for a in (*early, *late)] == [a.question for a in arrivals]
    assert early[0].at_s == late[0].at_s
    assert all(a.at_s < window_s(2) for a in (*early, *late))


@pytest.mark.parametrize("size", [LIGHT, HEAVY])
def test_answers_are_so_long_that_bursts_are_there_half_of_the_time(size: Size) -> None:
    mean_tokens = answer_tokens(size, ttft_s=0.1, tpot_s=0.020)
    arrivals = bursts(size, TEXTS, 5, number=300, mean_tokens=mean_tokens)
    spans = [(a.at_s, a.at_s + 0.1 + 0.020 * a.question.max_tokens) for a in arrivals]
    present = presence_of(spans, window_s(300))
    assert sum(present.values()) == pytest.approx(0.5, abs=0.03)


def test_answers_are_never_longer_than_a_model_takes() -> None:
    assert answer_tokens(LIGHT, ttft_s=0.0, tpot_s=1e-6) == 1024


def test_batch_work_has_no_end_and_follows_from_its_seed() -> None:
    one, other = batch_work(TEXTS, 5), batch_work(TEXTS, 5)
    assert list(itertools.islice(one, 500)) == list(itertools.islice(other, 500))


# --- prompts -----------------------------------------------------------------------------------


def test_made_prompts_differ_and_follow_from_the_seed() -> None:
    texts = prompts_of(None, 1)
    assert len(set(texts)) == len(texts)
    assert texts == prompts_of(None, 1)
    assert texts != prompts_of(None, 2)


def test_real_prompts_are_read_in_the_forms_of_known_sets(tmp_path: Path) -> None:
    lines = [{"turns": ["a", "then b"]}, {"question": "c"}, {"prompt": "d"}, {"prompt": "x" * 9999}]
    file = tmp_path / "set.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert sorted(prompts_of(file, 1)) == ["a", "c", "d"]


@pytest.mark.parametrize("content", ["no json", '{"answer": "yes"}'])
def test_a_file_without_prompts_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(content)
    with pytest.raises(BenchmarkUnable, match=r"be read|no prompt"):
        prompts_of(file, 1)


# --- the least evictions -----------------------------------------------------------------------


def test_a_burst_costs_as_many_evictions_as_slots_it_takes_from_batch_work() -> None:
    caps = [CapSample(0, 8)]
    assert least_evictions([Presence(10, 12)], caps, slots=32) == 25  # 7 of 32 stay
    together = [Presence(10, 12), Presence(10, 12)]
    assert least_evictions(together, caps, slots=32) == 26  # 6 stay


def test_a_slot_given_back_and_taken_again_costs_an_eviction_each_time() -> None:
    caps = [CapSample(0, 8)]
    overlapping = [Presence(0, 10), Presence(1, 2), Presence(3, 4)]
    assert least_evictions(overlapping, caps, slots=32) == 25 + 2
    assert least_evictions([Presence(0, 1), Presence(2, 3)], caps, slots=32) == 50


def test_who_leaves_at_the_moment_another_comes_gives_it_its_slot() -> None:
    seamless = [Presence(0, 10), Presence(1, 2), Presence(2, 3)]
    assert least_evictions(seamless, [CapSample(0, 8)], slots=32) == 26


def test_a_falling_cap_costs_evictions_only_while_interactive_work_is_there() -> None:
    falling = [CapSample(0, 8), CapSample(5, 5)]
    assert least_evictions([Presence(1, 9)], falling, slots=32) == 25 + 3
    assert least_evictions([Presence(6, 9)], falling, slots=32) == 28
    assert least_evictions([Presence(1, 2)], falling, slots=32) == 25


def test_interactive_work_beyond_the_cap_takes_no_more_than_there_is() -> None:
    crowd = [Presence(0, 9)] * 40
    assert least_evictions(crowd, [CapSample(0, 4)], slots=32) == 32


PRESENCES = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 10)).map(
        lambda pair: Presence(pair[0], pair[0] + pair[1])
    ),
    max_size=8,
)


@given(PRESENCES, st.integers(1, 12))
def test_no_scheduler_that_fills_every_slot_evicts_less(
    presences: list[Presence], cap: int
) -> None:
    """Walk the moments with batch generations that have names, evicting only whom one must."""
    slots, evicted = 12, 0
    running = slots
    for at in sorted({p.began_at for p in presences} | {p.ended_at for p in presences}):
        present = sum(p.began_at <= at < p.ended_at for p in presences)
        left = slots if present == 0 else max(0, cap - present)
        evicted += max(0, running - left)
        running = left
    assert least_evictions(presences, [CapSample(0, cap)], slots) == evicted


def test_an_excess_is_over_the_least_and_none_without_one() -> None:
    assert excess_percent(55, 50) == pytest.approx(10)
    assert math.isnan(excess_percent(3, 0))


# --- the ceiling -------------------------------------------------------------------------------

PROFILE = [ProfilePoint(1, 0.020), ProfilePoint(4, 0.020), ProfilePoint(32, 0.048)]
ALONE = 32 / 0.048
"""Batch tokens a second without anything else."""


def test_tpot_between_measured_sizes_is_interpolated() -> None:
    assert [tpot_at(PROFILE, size) for size in (0, 2, 18, 40)] == pytest.approx(
        [0.020, 0.020, 0.034, 0.048]
    )


def test_the_ceiling_is_what_the_bounds_leave_beside_interactive_work() -> None:
    # 1.15 allows a batch of 7 (23 ms), 1.25 one of 9 (25 ms); alone batch makes 667 tokens/s.
    bounds = [(5, 1.15), (7, 1.25)]
    losses = [longer * (1 - batch / (longer * 0.020) / ALONE) for batch, longer in bounds]
    expected = 1 - 0.5 * sum(losses) / 2
    assert batch_share_ceiling(PROFILE, {2: 0.5}, 32, ALONE) == pytest.approx(expected)


def test_the_bounds_leave_room_for_few_batch_generations_beside_a_burst() -> None:
    assert room_beside(PROFILE, 2, 32) == 5  # 23 ms, 1.15 times what two take
    assert room_beside(PROFILE, 31, 32) == 1


def test_the_ceiling_is_over_what_batch_work_gets_alone_with_its_prompts() -> None:
    """Prompts cost nothing under the ceiling, so it is higher over a batch rate that paid them."""
    low, high = (batch_share_ceiling(PROFILE, {2: 0.5}, 32, rate) for rate in (ALONE, 0.8 * ALONE))
    assert low < high < 1


def test_without_interactive_work_batch_has_everything() -> None:
    assert batch_share_ceiling(PROFILE, {0: 1.0}, 32, ALONE) == 1
    flat = [ProfilePoint(1, 0.02), ProfilePoint(32, 0.02)]
    assert batch_share_ceiling(flat, {2: 1.0}, 32, 32 / 0.02) == pytest.approx(30 / 32)


@given(st.floats(0, 1), st.integers(1, 8))
def test_the_ceiling_is_a_share(time_present: float, interactive: int) -> None:
    assert 0 <= batch_share_ceiling(PROFILE, {interactive: time_present}, 32, ALONE) <= 1


def test_presence_counts_how_many_are_there_at_once() -> None:
    assert presence_of([(0, 4), (2, 6)], 10) == pytest.approx({1: 0.4, 2: 0.2})
