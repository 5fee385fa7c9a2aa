"""The calibration benchmark's pure parts: its traces, what is fitted, what is compared."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.calibration.fitting import (
    assumptions,
    fitted_prefill_s,
    fitted_slowdown,
    fitted_steps,
)
from benchmarks.calibration.fleet import TENANTS, calibration_fleet
from benchmarks.calibration.plots import write_plots
from benchmarks.calibration.predicted import REPLAYS, as_answered, predictions
from benchmarks.calibration.rows import Outcome, off, rows_of
from benchmarks.calibration.samples import Answered, CalibrationSamples, Prefill, Swapped
from benchmarks.calibration.workload import DURATION_S, made_trace, small_slice
from benchmarks.coserve.ceiling import ProfilePoint
from benchmarks.setting import BenchmarkUnable
from serving.config import Fleet, load_fleet
from simulation.trace import Trace

DEFAULT_FLEET = Path(__file__).parents[2] / "config" / "fleet.yaml"
STEP_S, TOKEN_S, PROMPT_TOKEN_S = 0.015, 0.001, 0.0008


@pytest.fixture
def fleet() -> Fleet:
    return calibration_fleet(load_fleet(DEFAULT_FLEET))


def answered(arrived_s: float, model: str, ttft_s: float = 0.2) -> Answered:
    return Answered(arrived_s, model, False, 100, 20, ttft_s, 0.02, arrived_s + ttft_s + 0.4)


def profile(times: float = 1.0) -> list[ProfilePoint]:
    return [ProfilePoint(size, times * (STEP_S + TOKEN_S * size)) for size in (1, 2, 4, 8)]


def samples(fleet: Fleet, swaps: list[Swapped] | None = None) -> CalibrationSamples:
    names = [model.name for model in fleet.models]
    requests = [answered(float(second), names[second // 20 % 2]) for second in range(80)]
    requests.append(answered(30.0, names[3], ttft_s=2.0))
    return CalibrationSamples(
        answered=requests,
        client_later_s=[0.01] * len(requests),
        swaps=[Swapped("asleep", 0.3, 1.2)] if swaps is None else swaps,
        profile=profile(),
        together=profile(times=1.3),
        prefills=[Prefill(100, 100 * (PROMPT_TOKEN_S + STEP_S / 128))],
        slots=32,
    )


def test_a_made_trace_has_every_model_both_classes_and_is_the_same_each_time() -> None:
    trace, again = made_trace(TENANTS), made_trace(TENANTS)
    assert set(trace.model.tolist()) == set(range(TENANTS))
    assert 0 < trace.batch.sum() < len(trace)
    assert np.array_equal(trace.arrival_s, again.arrival_s)


def test_a_slice_keeps_who_asks_when_and_is_short_and_small() -> None:
    rows = 4000
    numbers = np.arange(rows)
    recorded = Trace(
        models=[f"m{n}" for n in range(10)],
        arrival_s=numbers * 7.0,
        model=numbers % 10,
        input_tokens=np.full(rows, 2000),
        output_tokens=np.full(rows, 900),
        batch=numbers % 5 == 0,
    )
    small = small_slice(recorded, TENANTS)
    assert (small.arrival_s[0], small.arrival_s[-1]) == (0.0, pytest.approx(DURATION_S))
    assert set(small.model.tolist()) == set(range(TENANTS))
    assert small.input_tokens.max() <= 240
    assert small.output_tokens.max() <= 64


def test_a_linear_profile_is_found_again() -> None:
    assert fitted_steps(profile()) == pytest.approx((STEP_S, TOKEN_S))


def test_a_profile_that_falls_is_taken_as_flat() -> None:
    assert fitted_steps([ProfilePoint(1, 0.02), ProfilePoint(8, 0.01)]) == (
        pytest.approx(0.015),
        0.0,
    )


def test_engines_that_work_together_are_slower_by_what_each_other_one_adds() -> None:
    assert fitted_slowdown(profile(), profile(times=1.5), hosts=2) == pytest.approx(0.5)
    assert fitted_slowdown(profile(), profile(times=1.5), hosts=3) == pytest.approx(0.25)


def test_a_single_size_that_was_disturbed_does_not_count() -> None:
    together = [*profile(times=1.5)[:3], ProfilePoint(8, 1.0)]
    assert fitted_slowdown(profile(), together, hosts=2) == pytest.approx(0.5)


def test_nobody_is_faster_beside_others_nor_slower_without_any() -> None:
    assert fitted_slowdown(profile(), profile(times=0.9), hosts=2) == 0.0
    assert fitted_slowdown(profile(), profile(times=1.5), hosts=1) == 0.0


def test_a_prompts_token_costs_what_it_took_less_its_part_of_a_step() -> None:
    prefills = [Prefill(128, 0.128), Prefill(64, 0.064)]
    assert fitted_prefill_s(prefills, step_s=0.0128) == pytest.approx(0.001 - 0.0001)


def test_a_trace_that_needed_no_hotswap_calibrates_nothing(fleet: Fleet) -> None:
    with pytest.raises(BenchmarkUnable, match="host memory"):
        assumptions(samples(fleet, swaps=[]), fleet)


def test_the_simulator_is_given_every_request_and_ends_them_all(fleet: Fleet) -> None:
    found = samples(fleet)
    replays = predictions(found, fleet, assumptions(found, fleet))
    assert len(replays) == REPLAYS
    for replayed in replays:
        predicted = [as_answered(request, fleet) for request in replayed.requests]
        assert len(predicted) == len(found.answered)
        assert {each.model for each in predicted} == {each.model for each in found.answered}
        assert all(each.ended_s < float("inf") for each in predicted)


def test_replays_differ_by_no_more_than_a_step_and_are_the_same_each_time(fleet: Fleet) -> None:
    found = samples(fleet)
    assumed = assumptions(found, fleet)
    arrivals = [
        [request.arrived_at for request in replayed.requests]
        for replayed in predictions(found, fleet, assumed)
    ]
    assert arrivals[0] == sorted(each.arrived_s for each in found.answered)
    assert len({tuple(each) for each in arrivals}) == REPLAYS
    for each in arrivals[1:]:
        assert each == sorted(each)
        assert each == pytest.approx(arrivals[0], abs=0.025)
    assert arrivals == [
        [request.arrived_at for request in replayed.requests]
        for replayed in predictions(found, fleet, assumed)
    ]


def test_a_prediction_within_a_fifth_is_good(fleet: Fleet) -> None:
    assumed = assumptions(samples(fleet), fleet)
    real = Outcome([answered(0.0, "a", ttft_s=1.0)], swaps=10)
    near = Outcome([answered(0.0, "a", ttft_s=1.15)], swaps=12)
    met = {row.figure: row.met for row in rows_of(real, [near], assumed, [0.01])}
    assert met["TTFT p50, error of the prediction"] is True
    assert met["swaps, error of the prediction"] is True
    far = Outcome([answered(0.0, "a", ttft_s=0.7)], swaps=13)
    met = {row.figure: row.met for row in rows_of(real, [far], assumed, [0.01])}
    assert met["TTFT p50, error of the prediction"] is False
    assert met["swaps, error of the prediction"] is False


def test_one_replay_that_went_another_way_does_not_make_the_prediction(fleet: Fleet) -> None:
    real = Outcome([answered(0.0, "a", ttft_s=1.0)], swaps=10)
    odd = Outcome([answered(0.0, "a", ttft_s=3.0)], swaps=30)
    rows = rows_of(real, [real, odd, real], assumptions(samples(fleet), fleet), [0.01])
    assert {row.value for row in rows if "error" in row.figure} == {0.0}


def test_how_much_later_clients_saw_it_is_told_and_not_judged(fleet: Fleet) -> None:
    outcome = Outcome([answered(0.0, "a")], swaps=1)
    rows = rows_of(outcome, [outcome], assumptions(samples(fleet), fleet), [0.01, 0.01, 0.5])
    later = {row.figure: row for row in rows if "at the client" in row.figure}
    assert [row.value for row in later.values()] == pytest.approx([0.01, 0.451])
    assert all(row.met is None for row in later.values())


def test_nothing_predicted_for_nothing_is_right() -> None:
    assert off(0.0, 0.0) == 0.0


def test_a_plot_is_written(tmp_path: Path) -> None:
    outcome = Outcome([answered(0.0, "a")], swaps=0)
    assert write_plots(outcome, outcome, tmp_path).read_bytes().startswith(b"\x89PNG")
