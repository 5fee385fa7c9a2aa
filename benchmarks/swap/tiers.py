"""Swaps by the tier of the model swapped in, and what an idle engine holds."""

import contextlib

from benchmarks.setting import BenchmarkUnable
from benchmarks.swap.instance import Host, Instance
from benchmarks.swap.samples import SizedSwap, SwapSamples
from serving.config import ModelSettings, StateFolder
from serving.engine.memory import proportional_bytes
from serving.weights import checkpoint_path

ASLEEP_SWAPS = 20
PARKED_SWAPS = 6
_TIER_LIMIT_S = 20.0


def swaps_from_asleep(instance: Instance, samples: SwapSamples) -> None:
    """There and back on the roomy host; counted are the swaps to the stock server's model."""
    host, fleets = instance.roomy, instance.fleets
    host.swap(fleets.exact.name)
    for _ in range(ASLEEP_SWAPS):
        samples.swaps.append(host.swap(fleets.first.name))
        host.swap(fleets.exact.name)
    _say_last(instance, samples)


def idle_engine(instance: Instance, samples: SwapSamples) -> None:
    """What the asleep engine of the first model holds beside its weights."""
    host, first = instance.roomy, instance.fleets.first
    weights_bytes = _weights_bytes(first, instance.prepared)
    older = min(host.engines())  # started first, so it has the smaller process id
    samples.idle_beyond_weights_bytes.append(proportional_bytes(older) - weights_bytes)


def swaps_from_below(instance: Instance, samples: SwapSamples) -> None:
    """Round three models alike on the tight host, which holds one of them parked."""
    host, (first, second, third) = instance.tight, instance.fleets.twins
    host.wait_for_tier(second, "awake", _TIER_LIMIT_S)
    for model in (first, third):
        samples.swaps.append(host.swap(model))
        _say_last(instance, samples)
    host.wait_for_tier(second, "disk", _TIER_LIMIT_S)
    samples.swaps.append(host.swap(second))
    _say_last(instance, samples)
    pair = (third, second)
    for number in range(PARKED_SWAPS):
        host.wait_for_tier(pair[number % 2], "parked", _TIER_LIMIT_S)
        samples.swaps.append(host.swap(pair[number % 2]))
        _say_last(instance, samples)


def swaps_of_sizes(instance: Instance, samples: SwapSamples) -> None:
    """To each model of random weights from disk, from asleep at once, and from parked."""
    home = instance.fleets.twins[0]
    for model in instance.fleets.sized:
        _size(instance, model, home, samples)


def _size(instance: Instance, model: ModelSettings, home: str, samples: SwapSamples) -> None:
    host, weights_bytes = instance.tight, _weights_bytes(model, instance.prepared)

    def take() -> None:
        swap = host.swap(model.name)
        tier, took_s = swap.report.from_tier, swap.first_token_s
        wake_s = swap.report.phases_s["wake"]
        samples.sizes.append(SizedSwap(weights_bytes, tier, took_s, wake_s))
        instance.say(f"{weights_bytes / 1e9:.1f} GB from {tier}: first token after {took_s:.2f} s")

    take()
    host.swap(home)
    take()  # before the host has measured and parked it
    host.swap(home)
    if _is_parked(host, model.name):
        take()
        host.swap(home)


def _is_parked(host: Host, model: str) -> bool:
    """Whether the host parks it: one that fits its budget beside nothing else stays asleep."""
    with contextlib.suppress(BenchmarkUnable):
        host.wait_for_tier(model, "parked", _TIER_LIMIT_S)
        return True
    return False


def _weights_bytes(model: ModelSettings, prepared: StateFolder) -> int:
    files = checkpoint_path(model, prepared).glob("*.safetensors")
    return sum(file.stat().st_size for file in files)


def _say_last(instance: Instance, samples: SwapSamples) -> None:
    swap = samples.swaps[-1]
    instance.say(
        f"swap to a model {swap.report.from_tier}: first token after {swap.first_token_s:.2f} s "
        + ", ".join(f"{phase} {took_s:.2f}" for phase, took_s in swap.report.phases_s.items())
    )
