"""The allocation job: snapshot, plan, hotswaps, verification, in one process that starts fast."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.names import ALLOCATION_TAGS, PLAN, TRAFFIC, serving_key
from serving.config import Fleet

LONGEST_S = 900
"""A run that takes longer is ended: a cold start of an engine, many times over."""


def allocation_job(fleet: Fleet) -> UnresolvedAssetJobDefinition:
    """The job that decides an allocation and carries it out."""
    keys = [TRAFFIC, PLAN, *(serving_key(model.name) for model in fleet.models)]
    return dg.define_asset_job(
        "allocation",
        selection=dg.AssetSelection.assets(*keys),
        description="Decide which model each engine host has awake, and make it so.",
        tags={**ALLOCATION_TAGS, "dagster/max_runtime": str(LONGEST_S)},
        executor_def=dg.in_process_executor,
    )
