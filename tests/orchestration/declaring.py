"""An installation over a stand-in for the gateway, and datasets of its own."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from orchestration.assembly import build_definitions
from orchestration.datasets.loading import LoadedDataset, load_dataset
from orchestration.installation import Installation
from tests.orchestration.building import a_fleet, a_model

PLAIN: dict[str, Any] = {
    "source": {"kind": "file", "path": "rows.jsonl", "id": "id"},
    "template": {"prompt": "{{ text }}"},
}
"""The shortest dataset that there can be."""


def an_installation(folder: Path, gateway_port: int = 1) -> Installation:
    """One with the models a and b, whose fleet file and datasets are in `folder`."""
    fleet = a_fleet([a_model("a"), a_model("b")], hosts=1).model_dump(mode="json")
    fleet["gateway"]["port"] = gateway_port
    fleet["store"]["port"] = 2  # nobody listens
    file = folder / "fleet.yaml"
    file.write_text(yaml.safe_dump(fleet))
    return Installation(fleet_file=str(file), state_folder=str(folder / "state"))


def declare(
    installation: Installation, name: str, declared: Mapping[str, Any] = PLAIN, **changed: Any
) -> Path:
    """Write a dataset file."""
    folder = Path(installation.fleet_file).parent / "datasets"
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**declared, **changed}))
    return file


def declared_as(installation: Installation, **changed: Any) -> LoadedDataset:
    """A dataset of one file, loaded."""
    file = declare(installation, "some", **changed)
    return load_dataset(file, installation.fleet, installation.state)


def materialized(
    installation: Installation,
    instance: dg.DagsterInstance,
    name: str,
    partition: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """A run of a dataset's job."""
    job = build_definitions(installation).resolve_job_def(name)
    run_config = {"ops": {f"{name}_completions": {"config": dict(config)}}} if config else None
    return job.execute_in_process(
        instance=instance, partition_key=partition, run_config=run_config, raise_on_error=False
    )


def scheduled(
    installation: Installation, instance: dg.DagsterInstance, name: str, at: datetime
) -> Any:
    """What a dataset's schedule asks for: run requests, or a reason why not."""
    schedule = build_definitions(installation).resolve_schedule_def(f"{name}_schedule")
    return schedule(dg.build_schedule_context(instance=instance, scheduled_execution_time=at))
