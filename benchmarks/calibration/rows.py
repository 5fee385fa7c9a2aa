"""From what happened and what was predicted to rows. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.calibration.samples import Answered
from benchmarks.figures import Row, Target
from benchmarks.statistics import median, quantile
from simulation.setting import Assumptions

WITHIN = Target("<=", 0.2)
"""How far a prediction may be off, as a share of the real figure."""


@dataclass(frozen=True)
class Outcome:
    """A trace, on the real fleet or in the simulator."""

    answered: Sequence[Answered]
    swaps: int


def rows_of(
    real: Outcome,
    predicted: Sequence[Outcome],
    assumed: Assumptions,
    client_later_s: Sequence[float],
) -> list[Row]:
    """Each figure as it was, as it was predicted, and how far that is off; then what it is by."""
    was, said = _figures(real, assumed), [_figures(each, assumed) for each in predicted]
    rows = []
    for figure, (value, unit) in was.items():
        prediction = median([each[figure][0] for each in said])
        rows += [
            Row(f"{figure}, real", value, unit),
            Row(f"{figure}, predicted", prediction, unit),
            Row(f"{figure}, error of the prediction", off(prediction, value), "share", WITHIN),
        ]
    rows += [
        Row(f"first token later at the client, {name}", quantile(client_later_s, share), "s")
        for name, share in (("p50", 0.5), ("p95", 0.95))
    ]
    return [*rows, *_assumed(assumed)]


def off(predicted: float, real: float) -> float:
    """How far a prediction is from the real value, as a share of it; NaN if that is nothing."""
    if predicted == real:
        return 0.0
    return abs(predicted - real) / real if real else float("nan")


def _figures(outcome: Outcome, assumed: Assumptions) -> dict[str, tuple[float, str]]:
    interactive = [each for each in outcome.answered if not each.batch]
    ttft_s = [each.ttft_s for each in interactive]
    met = sum(
        each.ttft_s <= assumed.ttft_s and each.tpot_s <= assumed.tpot_s for each in interactive
    )
    ended_s = max(each.ended_s for each in outcome.answered)
    tokens = sum(each.output_tokens for each in outcome.answered)
    return {
        "TTFT p50": (median(ttft_s), "s"),
        "TTFT p95": (quantile(ttft_s, 0.95), "s"),
        "TPOT p50": (median([each.tpot_s for each in interactive]), "s"),
        "attainment": (met / len(interactive), "share"),
        "throughput": (tokens / ended_s, "tokens/s"),
        "swaps": (outcome.swaps, "count"),
    }


def _assumed(assumed: Assumptions) -> list[Row]:
    """What was fitted: the simulator's assumptions for this fleet."""
    return [
        Row("fitted: a step", assumed.step_s, "s"),
        Row("fitted: a generation in a step", assumed.token_s, "s"),
        Row("fitted: a prompt token", assumed.prefill_token_s, "s"),
        Row("fitted: a hotswap from asleep", assumed.swap_asleep_s, "s"),
        Row("fitted: plan to hotswap", assumed.reaction_s, "s"),
        Row("fitted: slower beside the other host", assumed.slower_beside, "share"),
    ]
