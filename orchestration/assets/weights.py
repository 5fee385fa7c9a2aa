"""Model weights: one asset for every distinct checkpoint of the fleet."""

import time
from typing import Any

import dagster as dg

from orchestration.installation import Installation
from orchestration.names import OWNERS, WEIGHTS_TAGS, weights_key
from serving.config import Fleet, ModelSettings, StateFolder
from serving.config.fleet import source_in_words
from serving.weights import checkpoint_path, prepare


def weights_keys(fleet: Fleet, state: StateFolder) -> dict[str, dg.AssetKey]:
    """The checkpoint asset of every model."""
    return {model.name: weights_key(checkpoint_path(model, state).name) for model in fleet.models}


def weights_assets(fleet: Fleet, state: StateFolder) -> list[dg.AssetsDefinition]:
    """One asset a checkpoint; models that differ in how it is loaded share it."""
    keys = weights_keys(fleet, state)
    sharing: dict[dg.AssetKey, list[ModelSettings]] = {}
    for model in fleet.models:
        sharing.setdefault(keys[model.name], []).append(model)
    return [_weights_asset(key, models) for key, models in sharing.items()]


def weights_metadata(model: ModelSettings, state: StateFolder) -> dict[str, Any]:
    """What there is to say of a checkpoint that is there."""
    path = checkpoint_path(model, state)
    size_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return {
        "path": dg.MetadataValue.path(str(path)),
        "size_mib": round(size_bytes / 2**20, 1),
        "source": model.source.model_dump_json(),
    }


def _weights_asset(key: dg.AssetKey, models: list[ModelSettings]) -> dg.AssetsDefinition:
    source = models[0].source

    @dg.asset(
        key=key,
        description=f"The checkpoint of {', '.join(model.name for model in models)}: "
        f"{source_in_words(source)}.",
        group_name="weights",
        kinds={"huggingface" if source.kind == "hub" else "safetensors"},
        owners=OWNERS,
        tags={"turntable/plane": "data"},
        op_tags=WEIGHTS_TAGS,
        metadata={"source": source.kind},
    )
    def weights(
        context: dg.AssetExecutionContext, installation: Installation
    ) -> dg.MaterializeResult[None]:
        started = time.monotonic()
        budget_gib = installation.fleet.weights.budget_gib
        prepare(models[0], installation.state, context.log.info, budget_gib=budget_gib)
        seconds = round(time.monotonic() - started, 3)
        found = weights_metadata(models[0], installation.state)
        return dg.MaterializeResult(metadata=found | {"seconds": seconds})

    return weights
