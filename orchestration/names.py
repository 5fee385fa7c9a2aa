"""What the control plane's parts are called in Dagster: keys, groups, owners, tags."""

from dagster import AssetKey

from orchestration.run_coordinator import ALLOCATION, BATCH, PRESSING_BATCH, RUN_KIND_TAG

TRAFFIC = AssetKey("traffic_statistics")
PLAN = AssetKey("allocation_plan")
BATCHES = AssetKey("batches")
PROFILES = AssetKey("batch_size_profiles")

OWNERS = ["team:serving"]

ALLOCATION_TAGS = {RUN_KIND_TAG: ALLOCATION}
BATCH_TAGS = {RUN_KIND_TAG: BATCH}
PRESSING_BATCH_TAGS = {RUN_KIND_TAG: PRESSING_BATCH}
WEIGHTS_TAGS = {RUN_KIND_TAG: "weights"}
PROFILE_TAGS = {RUN_KIND_TAG: "profile"}

PARTITION_TAG = "dagster/partition"
"""Dagster's own: which partition a run is of."""

TRIGGER_TAG = "turntable/trigger"
"""On an allocation run: what it answers to."""


def serving_key(model: str) -> AssetKey:
    """The live serving state of a model."""
    return AssetKey(["serving", model])


def weights_key(checkpoint: str) -> AssetKey:
    """A checkpoint."""
    return AssetKey(["weights", checkpoint])


def prompts_key(dataset: str) -> AssetKey:
    """The rows of a dataset."""
    return AssetKey(f"{dataset}_prompts")


def completions_key(dataset: str) -> AssetKey:
    """The answers to them."""
    return AssetKey(f"{dataset}_completions")
