"""The benchmark's fleets, on free ports and on the fleet's first two hosts. Pure.

For speed: the fleet's first model on one host, and on the other one a tiny model of random weights
whose answers mean nothing: 50,000 lines of it are done in minutes. Later that one has the first
model with a small KV cache, for prompts that share beginnings. For kills: the first model in
float32 on both hosts, since only there greedy tokens do not depend on what else is in the batch.
"""

from benchmarks.fleets import bounded, require_models, whole_fleet
from serving.config import Fleet, ModelSettings
from serving.config.fleet import RandomSource

_EXACT_SLOTS = 16
_FEW_SLOTS = 8
_SMALL_CACHE_GIB = 0.25


def speed_fleet(fleet: Fleet) -> Fleet:
    """The first model and the tiny one, a host each; then the first with a small KV cache.

    Raises BenchmarkUnable if hosts are few.
    """
    require_models(fleet, 1)
    model = _uncapped(bounded(fleet.models[0], 0, 2))
    tiny = _tiny()
    return whole_fleet(fleet, [model, tiny, _short_of_cache(model)], [model, tiny])


def exact_fleet(fleet: Fleet) -> Fleet:
    """The first model in float32 on two hosts. Raises BenchmarkUnable if hosts are few."""
    require_models(fleet, 1)
    model = _uncapped(bounded(fleet.models[0], 2, 2))
    exact = model.model_copy(
        update={
            "name": f"{model.name}-float32",
            "dtype": "float32",
            "slots": min(_EXACT_SLOTS, model.slots),
            "interactive_cap": min(_EXACT_SLOTS, model.slots),
        }
    )
    return whole_fleet(fleet, [exact], [exact, exact])


def _uncapped(model: ModelSettings) -> ModelSettings:
    """Nothing interactive runs here that a cap would protect."""
    return model.model_copy(update={"interactive_cap": model.slots})


def _short_of_cache(model: ModelSettings) -> ModelSettings:
    few = min(_FEW_SLOTS, model.slots)
    return model.model_copy(
        update={
            "name": f"{model.name}-small-cache",
            "kv_cache_gib": min(_SMALL_CACHE_GIB, model.kv_cache_gib or _SMALL_CACHE_GIB),
            "slots": few,
            "interactive_cap": few,
            "max_replicas": 1,
        }
    )


def _tiny() -> ModelSettings:
    return ModelSettings(
        name="random-tiny",
        source=RandomSource(kind="random", hidden_size=64, layers=1, heads=1, vocabulary=49152),
        dtype="bfloat16",
        max_model_len=512,
        kv_cache_gib=0.1,
        slots=32,
        interactive_cap=32,
        min_replicas=0,
        max_replicas=2,
    )
