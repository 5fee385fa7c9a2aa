"""The trace that is sent: made from a seed, or a slice of a recorded one made small. Pure.

A made trace has a model that is used all the time, models that come in bursts, and batch work.
"""

import random
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from simulation.trace import Trace, trace_of

DURATION_S = 120.0
_SEED = 11
_STEADY_RPS = 0.7
_BURST_EVERY_S = 22.0
_BURST_REQUESTS = (2, 5)
_BURST_SPREAD_S = 1.5
_BATCH_REQUESTS = 8
_PROMPT_TOKENS = (40, 240)
_OUTPUT_TOKENS = (16, 64)
_SLICE_REQUESTS = 150
_MEAN_PROMPT_TOKENS, _MEAN_OUTPUT_TOKENS = 120.0, 36.0

Row = tuple[float, str, int, int, str]


def made_trace(models: int, seed: int = _SEED) -> Trace:
    """The first model is used steadily, the others in bursts, the last one by batch work too."""
    choice = random.Random(seed)  # noqa: S311 - a reproducible load, no secret
    rows = list(_steady(choice, "model-0"))
    for number in range(1, models):
        rows += _bursts(choice, f"model-{number}")
    rows += _batch(choice, f"model-{models - 1}")
    return trace_of(_frame(rows))


def small_slice(trace: Trace, models: int) -> Trace:
    """Requests of the busiest models in a row, from the middle, over `DURATION_S` and shortened.

    Which model asks when, in what class, and how lengths differ stays as it was recorded.
    """
    busiest = np.argsort(-np.bincount(trace.model, minlength=len(trace.models)))[:models]
    wanted = np.flatnonzero(np.isin(trace.model, busiest))
    first = max(0, (len(wanted) - _SLICE_REQUESTS) // 2)
    rows = wanted[first : first + _SLICE_REQUESTS]
    names = {int(model): f"model-{place}" for place, model in enumerate(sorted(busiest))}
    at_s = trace.arrival_s[rows] - trace.arrival_s[rows[0]]
    scale = DURATION_S / max(float(at_s[-1]), 1e-9)
    prompts = _shortened(trace.input_tokens[rows], _MEAN_PROMPT_TOKENS, _PROMPT_TOKENS)
    outputs = _shortened(trace.output_tokens[rows], _MEAN_OUTPUT_TOKENS, _OUTPUT_TOKENS)
    return Trace(
        models=[names[model] for model in sorted(names)],
        arrival_s=at_s * scale,
        model=np.searchsorted(np.sort(busiest), trace.model[rows]),
        input_tokens=prompts,
        output_tokens=outputs,
        batch=trace.batch[rows],
    )


def _shortened(
    tokens: NDArray[np.int64], mean: float, bounds: tuple[int, int]
) -> NDArray[np.int64]:
    """The same lengths around another mean, within bounds."""
    scaled = tokens * (mean / max(1.0, float(tokens.mean())))
    return np.clip(scaled, *bounds).astype(np.int64)


def _steady(choice: random.Random, model: str) -> Iterator[Row]:
    at_s = choice.expovariate(_STEADY_RPS)
    while at_s < DURATION_S:
        yield _request(choice, at_s, model, "interactive")
        at_s += choice.expovariate(_STEADY_RPS)


def _bursts(choice: random.Random, model: str) -> Iterator[Row]:
    at_s = choice.uniform(0.2, 1.0) * _BURST_EVERY_S
    while at_s < DURATION_S:
        for _ in range(choice.randint(*_BURST_REQUESTS)):
            yield _request(choice, at_s + choice.uniform(0, _BURST_SPREAD_S), model, "interactive")
        at_s += _BURST_EVERY_S * choice.uniform(0.6, 1.4)


def _batch(choice: random.Random, model: str) -> Iterator[Row]:
    for _ in range(_BATCH_REQUESTS):
        yield _request(choice, choice.uniform(0.3, 0.4) * DURATION_S, model, "batch")


def _request(choice: random.Random, at_s: float, model: str, request_class: str) -> Row:
    prompt, output = choice.randint(*_PROMPT_TOKENS), choice.randint(*_OUTPUT_TOKENS)
    return at_s, model, prompt, output, request_class


def _frame(rows: list[Row]) -> pl.DataFrame:
    columns = ["arrival_s", "model", "input_tokens", "output_tokens", "class"]
    return pl.DataFrame(rows, schema=columns, orient="row")
