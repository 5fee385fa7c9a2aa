"""From what was measured to what the simulator assumes. Pure."""

from collections.abc import Sequence

import numpy as np

from benchmarks.calibration.samples import CalibrationSamples, Prefill, Swapped
from benchmarks.coserve.ceiling import ProfilePoint
from benchmarks.setting import BenchmarkUnable
from benchmarks.statistics import mean, median
from serving.config import Fleet
from simulation.setting import Assumptions

CHUNK_TOKENS = 128
"""Prompt tokens of a step at most, on CPU."""


def assumptions(samples: CalibrationSamples, fleet: Fleet) -> Assumptions:
    """What `turntable simulate --assume` would be given for this fleet."""
    step_s, token_s = fitted_steps(samples.profile)
    asleep_s = [s.total_s for s in samples.swaps if s.from_tier == "asleep"]
    other_s = [s.total_s for s in samples.swaps if s.from_tier != "asleep"]
    if not asleep_s:
        raise BenchmarkUnable(
            "no model was swapped in from host memory during the trace",
            where="the trace",
            fix="Send one with more models than hosts.",
        )
    levels = fleet.models[0].service_levels
    return Assumptions(
        step_s=step_s,
        token_s=token_s,
        prefill_token_s=fitted_prefill_s(samples.prefills, step_s),
        chunk_tokens=CHUNK_TOKENS,
        slots=samples.slots,
        swap_asleep_s=median(asleep_s),
        swap_disk_s=median(other_s or asleep_s),
        models_in_host_memory=len(fleet.models),
        reaction_s=reaction_s(samples.swaps),
        hosts_per_machine=len(fleet.hosts),
        slower_beside=fitted_slowdown(samples.profile, samples.together, len(fleet.hosts)),
        ttft_s=levels.ttft_s,
        tpot_s=levels.tpot_s,
    )


def fitted_steps(profile: Sequence[ProfilePoint]) -> tuple[float, float]:
    """Time of a step, and what each generation adds, by least squares; neither is negative."""
    sizes = np.array([point.batch_size for point in profile], dtype=float)
    times_s = np.array([point.tpot_s for point in profile])
    token_s, step_s = np.polyfit(sizes, times_s, 1)
    if token_s < 0:
        return float(times_s.mean()), 0.0
    return max(0.0, float(step_s)), float(token_s)


def fitted_slowdown(
    alone: Sequence[ProfilePoint], together: Sequence[ProfilePoint], hosts: int
) -> float:
    """By how much of its time alone a step takes longer for each other host at work.

    The median over batch sizes: what else disturbed some of them does not count.
    """
    if hosts < 2:
        return 0.0
    ratios = [
        mean(_tpots_s(together, size)) / mean(_tpots_s(alone, size))
        for size in sorted({point.batch_size for point in alone})
    ]
    return max(0.0, (median(ratios) - 1.0) / (hosts - 1))


def _tpots_s(points: Sequence[ProfilePoint], batch_size: int) -> list[float]:
    return [point.tpot_s for point in points if point.batch_size == batch_size]


def fitted_prefill_s(prefills: Sequence[Prefill], step_s: float) -> float:
    """Time of a prompt token, without its part of a step.

    A line through zero: what a request costs besides its tokens (HTTP, gateway) is spread over
    them, which is right for prompts of the measured lengths.
    """
    tokens = sum(prefill.prompt_tokens for prefill in prefills)
    token_s = sum(prefill.ttft_s for prefill in prefills) / tokens
    return max(1e-9, token_s - step_s / CHUNK_TOKENS)


def reaction_s(swaps: Sequence[Swapped]) -> float:
    """From a plan to its commands, as it was for most of the planned hotswaps."""
    planned = [swap.ordered_s for swap in swaps if swap.ordered_s is not None]
    return median(planned) if planned else 0.0
