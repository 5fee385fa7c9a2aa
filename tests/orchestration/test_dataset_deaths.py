"""A run of a dataset whose process is killed: what the next one finds, does and delivers."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.instance.ref import InstanceRef

from orchestration.datasets.loading import LoadedDataset
from orchestration.datasets.output import journal_file, output_file
from orchestration.datasets.patterns import Portion
from orchestration.installation import Installation
from tests.fakes.host import wait_until
from tests.orchestration.declaring import declare, declared_as, materialized
from tests.orchestration.gateway import FakeGateway

CHECKPOINT = "x-turntable-checkpoint"
TEXTS = [f"text {number}" for number in range(12)]
IN_FLIGHT = {"text 4", "text 9"}
DECLARED: dict[str, Any] = {"overrides": ["model"], "output": {"columns": ["text"]}}
ALL = Portion()


def write_source(folder: Path) -> None:
    (folder / "datasets").mkdir(exist_ok=True)
    models = ["a" if number % 3 else "b" for number in range(len(TEXTS))]
    frame = pl.DataFrame({"id": range(len(TEXTS)), "text": TEXTS, "model": models})
    frame.write_ndjson(folder / "datasets" / "rows.jsonl")


def journals(dataset: LoadedDataset) -> list[Path]:
    return [journal_file(dataset, ALL, model) for model in ("a", "b")]


def kept(dataset: LoadedDataset) -> int:
    """Rows that would survive the process."""
    there = [file.read_bytes() for file in journals(dataset) if file.exists()]
    return sum(content.count(b"\n") for content in there)


def a_run(fleet_file: str, state_folder: str, instance: InstanceRef) -> None:
    """A run of the dataset `some`, as it is in a process of its own."""
    installation = Installation(fleet_file=fleet_file, state_folder=state_folder)
    with dg.DagsterInstance.from_ref(instance) as known:
        materialized(installation, known, "some")


@contextmanager
def running(installation: Installation, instance: dg.DagsterInstance) -> Iterator[Any]:
    told = (installation.fleet_file, installation.state_folder, instance.get_ref())
    process = multiprocessing.get_context("spawn").Process(target=a_run, args=told)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def delivered(dataset: LoadedDataset) -> list[dict[str, Any]]:
    """The output, without how long rows took."""
    return pl.read_parquet(output_file(dataset, ALL)).drop("seconds").to_dicts()


def test_a_killed_run_costs_what_was_in_flight_and_the_next_delivers_every_row_once(
    installation: Installation,
    instance: dg.DagsterInstance,
    gateway: FakeGateway,
    tmp_path: Path,
) -> None:
    write_source(tmp_path)
    dataset = declared_as(installation, **DECLARED)
    gateway.answers = {text: ["hold"] for text in IN_FLIGHT}
    with running(installation, instance) as process:
        rows_kept = len(TEXTS) - len(IN_FLIGHT)
        wait_until(lambda: kept(dataset) == rows_kept or not process.is_alive(), limit_s=120)
        wait_until(lambda: set(gateway.texts()) == set(TEXTS))
        assert process.is_alive()
    assert not output_file(dataset, ALL).exists()
    first = dict(zip(gateway.texts(), gateway.headers, strict=True))
    gateway.asked.clear()
    gateway.headers.clear()

    assert materialized(installation, instance, "some").success

    assert sorted(gateway.texts()) == sorted(IN_FLIGHT)
    for text, headers in zip(gateway.texts(), gateway.headers, strict=True):
        assert headers[CHECKPOINT] == first[text][CHECKPOINT], "it would begin anew"
    declare(installation, "undisturbed", source=dataset.declared.source.model_dump(), **DECLARED)
    materialized(installation, instance, "undisturbed")
    undisturbed = output_file(dataset, ALL).parents[1] / "undisturbed" / "all.parquet"
    assert delivered(dataset) == pl.read_parquet(undisturbed).drop("seconds").to_dicts()
    assert [row["completion"] for row in delivered(dataset)] == [f"answer to {t}" for t in TEXTS]


def test_what_a_death_leaves_half_written_is_not_taken_for_an_answer(
    installation: Installation,
    instance: dg.DagsterInstance,
    gateway: FakeGateway,
    tmp_path: Path,
) -> None:
    write_source(tmp_path)
    dataset = declared_as(installation, **DECLARED)
    materialized(installation, instance, "some")
    whole = delivered(dataset)
    output = output_file(dataset, ALL)
    torn = journals(dataset)[0]
    torn.write_bytes(torn.read_bytes()[:-20])
    for ending in (".lines", ".draft"):
        output.with_suffix(ending).write_bytes(b'{"id": "0", "comple')
    output.unlink()
    gateway.asked.clear()

    assert materialized(installation, instance, "some").success

    assert len(gateway.asked) == 1
    assert delivered(dataset) == whole
    assert {file.name for file in output.parent.iterdir()} == {"all.parquet", "checkpoints"}
