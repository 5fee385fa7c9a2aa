"""The job and the schedule of a dataset: portions are done when their sources are there.

A run is asked for once for each version of a source; three that fail are enough.
"""

from datetime import datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.datasets.declaration import FileSource
from orchestration.datasets.loading import LoadedDataset
from orchestration.datasets.output import is_of_version, output_file
from orchestration.datasets.partitioning import latest_keys, portion_of
from orchestration.datasets.sources import source_files, written_ns
from orchestration.names import BATCH_TAGS, PARTITION_TAG, completions_key, prompts_key

DATASET_TAG = "turntable/dataset"
"""On a run of a dataset: which one."""
VERSION_TAG = "turntable/prompts_version"
"""On a run that a schedule asked for: of which version of the source."""
AFTER_DEATHS = {"dagster/max_retries": "20", "dagster/retry_strategy": "ALL_STEPS"}
"""How often a run is done again whose process died. It goes on where that one was."""
ONCE = "once"
"""The version of a source that has no age."""

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def job_tags(dataset: LoadedDataset) -> dict[str, str]:
    """On every run of the dataset's job."""
    return {**BATCH_TAGS, DATASET_TAG: dataset.name}


def dataset_job(dataset: LoadedDataset) -> UnresolvedAssetJobDefinition:
    """The job that does one portion."""
    return dg.define_asset_job(
        dataset.name,
        selection=dg.AssetSelection.assets(
            prompts_key(dataset.name), completions_key(dataset.name)
        ),
        description=dataset.declared.description or f"Answer the prompts of {dataset.name}.",
        tags={**job_tags(dataset), **AFTER_DEATHS},
        executor_def=dg.in_process_executor,
    )


def dataset_schedule(
    dataset: LoadedDataset, job: UnresolvedAssetJobDefinition
) -> dg.ScheduleDefinition | None:
    """The schedule over `job`; None if it is done by hand."""
    told = dataset.declared.schedule
    if told is None:
        return None

    @dg.schedule(
        name=f"{dataset.name}_schedule",
        job=job,
        cron_schedule=told.cron,
        execution_timezone=dataset.declared.partitions.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Does what is due of `{dataset.file.name}`: where the source is there and "
        "newer than the output.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext,
    ) -> list[dg.RunRequest] | dg.SkipReason:
        at = context.scheduled_execution_time
        keys = latest_keys(dataset.declared.partitions, told.latest, at)
        verdicts = {key: _wanted(context.instance, dataset, key, at) for key in keys}
        requests = [
            _request(key, version) for key, (version, _) in verdicts.items() if version is not None
        ]
        reasons = "; ".join(f"{key or dataset.name}: {why}" for key, (_, why) in verdicts.items())
        return requests or dg.SkipReason(reasons or "no period has ended yet")

    return schedule


def _request(key: str | None, version: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{key or 'all'} {version}", partition_key=key, tags={VERSION_TAG: version}
    )


def _wanted(
    instance: dg.DagsterInstance, dataset: LoadedDataset, key: str | None, at: datetime
) -> tuple[str | None, str]:
    """The version of a portion's source that wants a run, and why or why not."""
    version, why_not = _undone(dataset, key, at)
    if version is None:
        return None, why_not
    # Not the kind: that of a run which may wait no longer is another.
    tags = {DATASET_TAG: dataset.name} | ({PARTITION_TAG: key} if key else {})
    if instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=UNDER_WAY)):
        return None, "a run is under way"
    failed = dg.RunsFilter(
        tags={**tags, VERSION_TAG: version}, statuses=[dg.DagsterRunStatus.FAILURE]
    )
    enough = dataset.declared.retries.runs
    if instance.get_runs_count(failed) >= enough:
        return None, f"{enough} runs failed; start one by hand when the cause is mended"
    return version, "wanted"


def _undone(dataset: LoadedDataset, key: str | None, at: datetime) -> tuple[str | None, str]:
    """The version of a portion's source that was not done, or why there is none."""
    declared = dataset.declared
    portion = portion_of(declared.partitions, key)
    if not isinstance(declared.source, FileSource):
        if not declared.partitions.is_periodic:
            return at.isoformat(), ""
        return (None, "done") if output_file(dataset, portion).exists() else (ONCE, "")
    written = written_ns(source_files(dataset, portion))
    if written is None:
        return None, f"no file {dataset.place.fill(declared.source.path, portion)}"
    return (None, "done") if is_of_version(dataset, portion, written) else (str(written), "")
