"""The pace alone that the co-serving benchmark takes its service level and its lengths from."""

import pytest

from benchmarks.coserve.ceiling import ProfilePoint
from benchmarks.coserve.pace import LEVEL_OVER_ALONE, Pace, expected_pace, pace_of
from benchmarks.coserve.workload import SIZES
from benchmarks.streams import Question, Stream

LIGHT, HEAVY = SIZES


def stream(asked_at: float, times: list[float]) -> Stream:
    counts = list(range(1, len(times) + 1))
    return Stream("id", Question("q", len(times)), asked_at, times, counts, "", times[-1])


def steady(asked_at: float, *, tokens: int = 50, step_s: float = 0.02) -> Stream:
    return stream(asked_at, [asked_at + 0.1 + step_s * n for n in range(tokens)])


def test_the_level_leaves_out_what_prompts_of_other_requests_cost() -> None:
    first = stream(0.0, [0.10, 0.12, 0.14, 0.24, 0.26, 0.28])
    second = stream(0.15, [0.24, 0.26, 0.28])  # its prompt held the first up for 80 ms
    pace = pace_of([first, second])
    assert pace.undisturbed_tpot_s == pytest.approx(0.02)
    assert pace.level_s == pytest.approx(LEVEL_OVER_ALONE * 0.02)
    assert pace.ttft_s == pytest.approx((0.10 + 0.09) / 2)
    assert pace.tpot_s == pytest.approx((0.036 + 0.02) / 2)


def test_a_pause_of_the_machine_counts_as_little_as_it_may() -> None:
    paused = steady(0.0)
    paused.times = [at + 5.0 * (at > 0.5) for at in paused.times]
    pace = pace_of([paused, steady(10.0)])
    assert pace.undisturbed_tpot_s == pytest.approx(0.02, rel=0.05)


def test_tokens_that_came_together_share_their_time() -> None:
    together = Stream("id", Question("q", 7), 0.0, [0.1, 0.14, 0.2], [1, 3, 6], "", 0.2)
    assert pace_of([together]).undisturbed_tpot_s == pytest.approx(0.02)


def test_answers_get_longer_when_the_machine_gets_faster() -> None:
    slow, fast = Pace(0.1, 0.03, 0.03), Pace(0.1, 0.02, 0.02)
    assert fast.answer_tokens(HEAVY) > slow.answer_tokens(HEAVY)


def test_before_anything_was_seen_the_profile_says_the_pace() -> None:
    profile = [ProfilePoint(1, 0.018, 0.07), ProfilePoint(6, 0.024, 0.2)]
    assert expected_pace(profile, HEAVY) == Pace(0.07, 0.024, 0.024)
