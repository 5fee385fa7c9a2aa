"""The reaction benchmark's pure parts: what lies between a burst and its first token."""

from pathlib import Path

import pytest

from benchmarks.reaction.plots import write_plots
from benchmarks.reaction.rows import rows_of
from benchmarks.reaction.switches import Switched
from tests.benchmarks.reactions import reaction, timeline


def test_the_parts_add_up_to_the_time_from_the_cause_to_the_end_of_the_hotswap() -> None:
    parts = timeline(hotswap_s=0.5).parts
    assert tuple(parts) == pytest.approx((0.5, 1.0, 0.25, 0.25, 0.5))
    assert parts.total_s == pytest.approx(2.5)


def test_what_comes_after_the_hotswap_is_the_rest_of_the_reaction() -> None:
    assert reaction("a", first_token_s=3.0, hotswap_s=0.5).after_hotswap_s == pytest.approx(0.5)


def test_reactions_are_held_to_their_middle_and_to_their_slow_end() -> None:
    quick = [reaction("a", 4.0, 0.5)] * 19
    assert [row.met for row in rows_of([*quick, reaction("b", 9.0, 0.5)], [])[:2]] == [True, True]
    assert [row.met for row in rows_of([*quick, *[reaction("b", 9.0, 0.5)] * 2], [])[:2]] == [
        True,
        False,
    ]
    assert rows_of([reaction("a", 5.1, 0.5)], [])[0].met is False


def test_every_part_is_a_figure() -> None:
    values = {row.figure: row.value for row in rows_of([reaction("a", 3.0, 0.5)], [])}
    for part, seconds in {"sensor": 0.5, "run start": 1.0, "plan": 0.25, "hotswap": 0.5}.items():
        assert values[f"burst to first token, {part}, p50"] == pytest.approx(seconds)


def test_bursts_that_a_switch_answers_are_figures_of_their_own() -> None:
    switched = [Switched("a", 0.2, 0.1, "asleep"), Switched("b", 0.4, 0.1, "asleep")]
    values = {row.figure: row.value for row in rows_of([reaction("a", 3.0, 0.5)], switched)}
    assert values["burst to first token, p50"] == pytest.approx(3.0)
    assert values["burst to first token by a switch within a grant, p50"] == pytest.approx(0.3)
    assert values["burst to first token by a switch within a grant, bursts"] == 2


def test_a_plot_is_written(tmp_path: Path) -> None:
    path = write_plots([reaction("a", 3.0, 0.5), reaction("b", 4.0, 0.7)], tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")
