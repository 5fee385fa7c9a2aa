"""Every dataset of a fleet as Dagster's definitions; one that cannot be used says so in its place.

Nothing that stands in a dataset file may keep the rest of the control plane from loading.
"""

import re
from collections.abc import Sequence

import dagster as dg
import structlog
from dagster._check import CheckError

from orchestration.datasets.assets import GROUP, TAGS, dataset_assets
from orchestration.datasets.loading import (
    NAME,
    REFERENCE,
    RESERVED,
    LoadedDataset,
    RefusedDataset,
    load_datasets,
)
from orchestration.datasets.scheduling import dataset_job, dataset_schedule
from orchestration.names import OWNERS, completions_key
from serving.config import Fleet, StateFolder
from serving.errors import ConfigError

_log = structlog.get_logger(__name__)

EVERY_FIVE_MINUTES = "*/5 * * * *"


def dataset_definitions(fleet: Fleet, state: StateFolder) -> dg.Definitions:
    """The datasets, without the resources that they use."""
    found = load_datasets(fleet, state)
    refused, parts = list(found.refused), []
    for dataset in found.usable:
        try:
            parts.append(_parts(dataset, fleet))
        except (dg.DagsterError, CheckError) as error:
            refused.append(_refused_by_dagster(dataset, error))
    for one in refused:
        _log.error("dataset_refused", dataset=one.name, error=str(one.error))
    parts += [_placeholder(one) for one in refused]
    return dg.Definitions.merge(*parts)


def _parts(dataset: LoadedDataset, fleet: Fleet) -> dg.Definitions:
    job = dataset_job(dataset)
    schedule = dataset_schedule(dataset, job)
    return dg.Definitions(
        assets=dataset_assets(dataset, fleet),
        jobs=[job],
        schedules=[] if schedule is None else [schedule],
    )


def _refused_by_dagster(dataset: LoadedDataset, error: Exception) -> RefusedDataset:
    return RefusedDataset(
        name=dataset.name,
        file=dataset.file,
        error=ConfigError(
            f"Dagster does not take it: {error}",
            where=str(dataset.file),
            fix=f"{REFERENCE} lists every key and what it takes.",
        ),
    )


def _placeholder(refused: RefusedDataset) -> dg.Definitions:
    """What a dataset that cannot be used leaves: an asset that says why, and ticks that fail."""
    name = _free_name(refused.name)
    asset = dg.AssetSpec(
        completions_key(name),
        description=f"**This dataset cannot be used.**\n\n{refused.error}",
        group_name=GROUP,
        kinds={"yaml"},
        owners=OWNERS,
        tags=TAGS,
        metadata={"declared in": dg.MetadataValue.path(str(refused.file))},
    )
    return dg.Definitions(assets=[asset], schedules=[_failing_schedule(name, refused.error)])


def _free_name(name: str) -> str:
    """What a refused dataset is called: as it wants to be, if it may."""
    if NAME.fullmatch(name) and name not in RESERVED:
        return name
    return "refused_" + re.sub("[^a-z0-9_]", "_", name.lower())


def _failing_schedule(name: str, error: ConfigError) -> dg.ScheduleDefinition:
    @dg.op(name=f"{name}_refused")
    def refuse() -> None:
        raise dg.Failure(str(error))

    @dg.job(name=name, description=str(error))
    def job() -> None:
        refuse()

    @dg.schedule(
        name=f"{name}_schedule",
        job=job,
        cron_schedule=EVERY_FIVE_MINUTES,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Fails until the dataset's file is mended.",
    )
    def schedule() -> Sequence[dg.RunRequest]:
        raise error

    return schedule
