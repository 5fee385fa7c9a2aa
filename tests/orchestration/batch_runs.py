"""Batches run by Dagster, in this process."""

import json
from typing import Any

import dagster as dg

from orchestration.assets.batches import PARTITIONS_NAME, batches_assets, batches_job
from orchestration.batch.submitted import result_path
from orchestration.batch_sensor import batch_sensor
from orchestration.forgotten_batches import forgotten_batches
from orchestration.installation import Installation
from serving.config import StateFolder


def definitions(installation: Installation) -> dg.Definitions:
    """Those of batches alone, which load faster than all."""
    job = batches_job()
    return dg.Definitions(
        assets=batches_assets(installation.fleet),
        jobs=[job],
        sensors=[batch_sensor(job), forgotten_batches()],
        resources={"installation": installation},
    )


def run(installation: Installation, instance: dg.DagsterInstance, batch_id: str) -> Any:
    instance.add_dynamic_partitions(PARTITIONS_NAME, [batch_id])
    job = definitions(installation).resolve_job_def("answer_batch")
    return job.execute_in_process(instance=instance, partition_key=batch_id, raise_on_error=False)


def records(state: StateFolder, file_id: str | None) -> dict[str, Any]:
    path = result_path(state, file_id)
    assert path is not None
    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len({line["custom_id"] for line in found}) == len(found)
    return {line["custom_id"]: line for line in found}
