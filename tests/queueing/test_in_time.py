"""As many prompts as can be are answered in time."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from serving.queueing.in_time import Prompt, in_time

WORK_S = st.integers(1, 20).map(float)
PROMPTS = st.lists(st.builds(Prompt, st.integers(0, 40).map(float), WORK_S), max_size=7).map(sorted)
FREE_IN_S = st.lists(st.integers(0, 20).map(float), min_size=1, max_size=4)


def all_in_time(prompts: list[Prompt], free_in_s: float) -> bool:
    """Whether one engine answers all of them in time, in the order they are due."""
    ends_s = free_in_s
    for prompt in prompts:
        ends_s += prompt.work_s
        if ends_s > prompt.due_in_s:
            return False
    return True


@given(prompts=PROMPTS, free_in_s=st.integers(0, 10).map(float))
def test_on_one_engine_no_choice_keeps_more(prompts: list[Prompt], free_in_s: float) -> None:
    chosen = [p for p, c in zip(prompts, in_time(prompts, [free_in_s]), strict=True) if c]
    assert all_in_time(chosen, free_in_s)
    more = combinations(prompts, len(chosen) + 1)
    assert not any(all_in_time(list(each), free_in_s) for each in more)


@given(prompts=PROMPTS, free_in_s=FREE_IN_S)
def test_on_several_engines_all_that_are_chosen_are_in_time(
    prompts: list[Prompt], free_in_s: list[float]
) -> None:
    """Each sent to the engine that is free first."""
    free = sorted(free_in_s)
    for prompt, is_chosen in zip(prompts, in_time(prompts, free_in_s), strict=True):
        if is_chosen:
            free[0] += prompt.work_s
            assert free[0] <= max(prompt.due_in_s, 0.0)
            free.sort()


def test_the_longest_is_put_off() -> None:
    prompts = [Prompt(2.0, 1.5), Prompt(2.0, 0.5), Prompt(2.0, 0.5)]
    assert in_time(prompts, [0.0]) == [False, True, True]


def test_of_equal_ones_the_last_is_put_off() -> None:
    assert in_time([Prompt(1.0, 0.5), Prompt(1.1, 0.5), Prompt(1.2, 0.5)], [0.0]) == [
        True,
        True,
        False,
    ]


def test_without_an_engine_none_is_in_time() -> None:
    assert in_time([Prompt(2.0, 0.5)], []) == [False]
