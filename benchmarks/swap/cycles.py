"""A hundred swaps in a row: whether they stay as fast, as whole and as lean as the first."""

import time

from benchmarks.swap.instance import Instance
from benchmarks.swap.samples import SwapSamples

SWAPS = 100
_OUTPUT_TOKENS = 6
_WARM = 4
"""Swaps after which memory is first measured: allocators have seen every state by then."""


def cycle(instance: Instance, samples: SwapSamples) -> None:
    """Swap to and fro on the roomy host, and compare what each model says after each swap."""
    host, found = instance.roomy, samples.cycles
    models = (instance.fleets.first.name, instance.fleets.exact.name)
    expected: dict[str, list[int]] = {}
    for number in range(SWAPS):
        if number == _WARM:
            found.memory_before_bytes = host.memory_bytes()
        model = models[number % 2]
        began = time.monotonic()
        report = host.command(model)
        found.swap_s.append(time.monotonic() - began)
        if report.outcome != "committed":
            found.failures += 1
            continue
        output = host.generate(model, _OUTPUT_TOKENS).token_ids
        if model in expected:
            found.compared += 1
            found.identical += output == expected[model]
        else:
            expected[model] = output
    found.memory_after_bytes = host.memory_bytes()
