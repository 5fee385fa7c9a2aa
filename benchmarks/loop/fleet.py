"""The benchmark's fleet: the user's models on free ports, arranged so that arms are alike.

The chat model has one replica that never moves, as the stock server is one engine. The second
host is the one that changes between the other two models. Pure.
"""

from benchmarks.fleets import bounded, require_models, whole_fleet
from serving.config import Fleet, ModelSettings


def bench_fleet(fleet: Fleet, *, time_sharing: bool = False) -> Fleet:
    """The fleet to measure. Raises BenchmarkUnable if `fleet` has too few hosts or models.

    With `time_sharing` the second host switches between the two; without, allocation runs move it.
    """
    require_models(fleet, 3)
    chat, *shifted = fleet.models[:3]
    models = [_chat_model(chat), *(bounded(model, 0, 1) for model in shifted)]
    return whole_fleet(fleet, models, models[:2], time_sharing=time_sharing)


def _chat_model(model: ModelSettings) -> ModelSettings:
    # No batch work runs here, so the cap would only keep streams waiting that vLLM lets in.
    return bounded(model, 1, 1).model_copy(update={"interactive_cap": model.slots})
