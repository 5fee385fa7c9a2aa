"""Every dataset of a fleet as Dagster's definitions; one that cannot be used says so in its place.

Nothing that stands in a dataset file may keep the rest of the control plane from loading.
"""

import re
from collections.abc import Sequence

import dagster as dg
import structlog
from dagster._check import CheckError
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

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
from orchestration.names import BATCH_TAGS, OWNERS, completions_key, prompts_key
from serving.config import Fleet, StateFolder
from serving.errors import ConfigError

_log = structlog.get_logger(__name__)

EVERY_FIVE_MINUTES = "*/5 * * * *"
NOT_TAKEN = (dg.DagsterError, CheckError, OverflowError)
"""What Dagster says of definitions that it does not take."""
REFUSED = "cannot be used"
"""Metadata of an asset that stands for a refused dataset: why."""


def with_datasets(core: dg.Definitions, fleet: Fleet, state: StateFolder) -> dg.Definitions:
    """The datasets beside `core`."""
    found = load_datasets(fleet, state)
    whole, not_taken = _with_usable(core, found.usable, fleet)
    for number, one in enumerate([*found.refused, *not_taken]):
        _log.error("dataset_refused", dataset=one.name, error=str(one.error))
        whole = _with_placeholder(whole, one, number)
    return whole


def _with_usable(
    core: dg.Definitions, datasets: Sequence[LoadedDataset], fleet: Fleet
) -> tuple[dg.Definitions, list[RefusedDataset]]:
    """`core` with the datasets that Dagster takes, and the others.

    All at once; one by one, which is slow, only to find what Dagster does not take.
    """
    try:
        return _joined(core, *(_parts(dataset, fleet) for dataset in datasets)), []
    except NOT_TAKEN:
        whole, refused = core, []
    for dataset in datasets:
        try:
            whole = _joined(whole, _parts(dataset, fleet))
        except NOT_TAKEN as error:
            refused.append(_refused_by_dagster(dataset, error))
    return whole, refused


def _joined(*parts: dg.Definitions) -> dg.Definitions:
    """All, if Dagster takes them together: a name may be one that something else has."""
    joined = dg.Definitions.merge(*parts)
    dg.Definitions.validate_loadable(joined)
    return joined


def _with_placeholder(
    whole: dg.Definitions, refused: RefusedDataset, number: int
) -> dg.Definitions:
    """With what stands for a refused dataset, named as it wants to be if that can be."""
    try:
        return _joined(whole, _placeholder(refused, _free_name(refused.name)))
    except NOT_TAKEN:
        return dg.Definitions.merge(whole, _placeholder(refused, f"refused_{number}"))


def refusals(repository: dg.RepositoryDefinition) -> list[str]:
    """Why datasets of what was built cannot be used; the error of each names its file."""
    graph = repository.asset_graph
    told = {graph.get(key).metadata.get(REFUSED) for key in graph.get_all_asset_keys()}
    return sorted(why for why in told if isinstance(why, str))


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


def _placeholder(refused: RefusedDataset, name: str) -> dg.Definitions:
    """What a dataset that cannot be used leaves: whatever begins of it fails and says why.

    Its parts are named as those of a usable one: a run that was asked for before the file was
    broken finds them and says so too.
    """
    prompts, completions = prompts_key(name), completions_key(name)
    job = dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(prompts, completions),
        description=str(refused.error),
        tags=BATCH_TAGS,
        executor_def=dg.in_process_executor,
    )
    return dg.Definitions(
        assets=[
            _failing_asset(prompts, [], refused),
            _failing_asset(completions, [prompts], refused),
        ],
        jobs=[job],
        schedules=[_failing_schedule(name, job, refused.error)],
    )


def _failing_asset(
    key: dg.AssetKey, deps: Sequence[dg.AssetKey], refused: RefusedDataset
) -> dg.AssetsDefinition:
    @dg.asset(
        key=key,
        deps=deps,
        description=f"**This dataset cannot be used.**\n\n{refused.error}",
        group_name=GROUP,
        kinds={"yaml"},
        owners=OWNERS,
        tags=TAGS,
        metadata={
            "declared in": dg.MetadataValue.path(str(refused.file)),
            REFUSED: str(refused.error),
        },
    )
    def refuse() -> None:
        raise dg.Failure(str(refused.error))

    return refuse


def _free_name(name: str) -> str:
    """What a refused dataset is called: as it wants to be, if it may."""
    if NAME.fullmatch(name) and name not in RESERVED:
        return name
    return "refused_" + re.sub("[^a-z0-9_]", "_", name.lower())


def _failing_schedule(
    name: str, job: UnresolvedAssetJobDefinition, error: ConfigError
) -> dg.ScheduleDefinition:
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
