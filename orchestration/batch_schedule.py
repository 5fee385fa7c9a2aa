"""The batch job and its schedule: partitions are done when their prompt files are there."""

from datetime import timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.assets.batch import FIRST_DAY, completion_file, prompt_file
from orchestration.installation import Installation
from orchestration.names import BATCH_TAGS, COMPLETIONS, PROMPTS
from serving.config import StateFolder

EVERY_FIVE_MINUTES = "*/5 * * * *"
VERSION_TAG = "turntable/prompts_version"
"""On a batch run: when its prompt file was written."""

GIVE_UP_AFTER = 3
"""Failed runs of one version of a prompt file, after which a person is needed."""

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def batch_job() -> UnresolvedAssetJobDefinition:
    """The job that does one day's batch."""
    return dg.define_asset_job(
        "batch",
        selection=dg.AssetSelection.assets(PROMPTS, COMPLETIONS),
        description="Answer a day's prompts in the flex tier.",
        tags=BATCH_TAGS,
        executor_def=dg.in_process_executor,
    )


def batch_schedule(job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """The schedule over `job`."""

    @dg.schedule(
        name="batch_schedule",
        job=job,
        cron_schedule=EVERY_FIVE_MINUTES,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Does yesterday's and today's batch once their prompt files are there, and "
        "again when they change.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, installation: Installation
    ) -> list[dg.RunRequest] | dg.SkipReason:
        today = context.scheduled_execution_time.date()
        days = [str(today - timedelta(days=1)), str(today)]
        verdicts = {
            day: _wanted(context.instance, installation.state, day)
            for day in days
            if day >= FIRST_DAY
        }
        requests = [
            dg.RunRequest(
                run_key=f"{day} {version}", partition_key=day, tags={VERSION_TAG: version}
            )
            for day, (version, _) in verdicts.items()
            if version is not None
        ]
        reasons = "; ".join(f"{day}: {reason}" for day, (_, reason) in verdicts.items())
        return requests or dg.SkipReason(reasons)

    return schedule


def _request(day: str, version: str) -> dg.RunRequest:
    run_key = f"{day} {version}"
    return dg.RunRequest(run_key=run_key, partition_key=day, tags={VERSION_TAG: version})


def _wanted(instance: dg.DagsterInstance, state: StateFolder, day: str) -> tuple[str | None, str]:
    """The version of the day's prompt file that wants a run, and why or why not."""
    prompts, completions = prompt_file(state, day), completion_file(state, day)
    if not prompts.exists():
        return None, f"no prompt file {prompts}"
    written_at = prompts.stat().st_mtime_ns
    if completions.exists() and completions.stat().st_mtime_ns > written_at:
        return None, "done"
    version, tags = str(written_at), {"dagster/partition": day, **BATCH_TAGS}
    if instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=UNDER_WAY)):
        return None, "a run is under way"
    failed = dg.RunsFilter(
        tags={**tags, VERSION_TAG: version}, statuses=[dg.DagsterRunStatus.FAILURE]
    )
    if instance.get_runs_count(failed) >= GIVE_UP_AFTER:
        return None, f"{GIVE_UP_AFTER} runs failed; start one by hand when the cause is mended"
    return version, "wanted"
