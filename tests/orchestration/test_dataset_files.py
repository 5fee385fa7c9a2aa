"""Dataset files: what is accepted, and what an error tells."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from orchestration.assembly import build_definitions
from orchestration.datasets import reference
from orchestration.datasets.declaration import Dataset
from orchestration.datasets.definitions import refusals
from orchestration.datasets.loading import NAME, RESERVED, load_dataset, load_datasets
from orchestration.datasets.scheduling import AFTER_DEATHS
from orchestration.installation import Installation
from orchestration.names import completions_key
from serving.errors import ConfigError
from tests.orchestration.declaring import PLAIN, an_installation, declare, materialized

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return an_installation(tmp_path)


def test_a_source_and_a_template_are_enough(installation: Installation) -> None:
    file = declare(installation, "plain")

    loaded = load_dataset(file, installation.fleet, installation.state)

    assert (loaded.name, loaded.model) == ("plain", "a")
    assert loaded.declared.schedule is None


def test_the_example_of_the_page_can_be_used() -> None:
    assert Dataset.model_validate(yaml.safe_load(reference.EXAMPLE))


def test_the_reference_page_is_what_the_schema_says() -> None:
    assert (ROOT / "docs" / "datasets.md").read_text() == reference.render()


@pytest.mark.parametrize(
    ("changed", "key", "what"),
    [
        ({"sampling": {"max_tokens": 0}}, "sampling.max_tokens", "greater than or equal to 1"),
        ({"modell": "a"}, "modell", "mean model?"),
        ({"sampling": {"temperature": float("inf")}}, "sampling.temperature", "finite"),
        ({"sampling": {"extra": {"stream": True}}}, "sampling.extra", "not for a dataset to say"),
        ({"freshness": {"within_h": 1e300}}, "freshness.within_h", "less than"),
        ({"output": {"path": "../datasets/rows.jsonl"}}, "output.path", "files of source.path"),
        (
            {
                "source": {"kind": "file", "path": "in/*-{partition}.parquet"},
                "partitions": {"by": "keys", "keys": ["x"]},
                "output": {"path": "in/out-{partition}.parquet"},
            },
            "output.path",
            "files of source.path",
        ),
        ({"model": "huge"}, "model", "the fleet file has no 'huge', but a, b"),
        ({"template": {}}, "template", "give `prompt`"),
        ({"template": {"prompt": "{{ text"}}, "template", "is not a template"),
        ({"source": {"kind": "stork"}}, "source", "'stork'"),
        ({"source": {"kind": "file", "path": "rows.txt"}}, "source.file", "give `format`"),
        ({"source": {"kind": "file", "path": "{day}.csv"}}, "source", "{day} means nothing"),
        ({"source": {"kind": "file", "path": "{partition}.csv"}}, "whole file", "means nothing"),
        ({"source": {"kind": "file", "path": "{name:%Y}.csv"}}, "source", "Invalid format"),
        ({"partitions": {"by": "daily"}}, "partitions", "needs `start`"),
        ({"partitions": {"by": "keys"}}, "partitions", "go together"),
        ({"partitions": {"by": "keys", "keys": ["../up"]}}, "partitions.keys.0", "pattern"),
        (
            {"partitions": {"by": "keys", "keys": ["x"]}, "output": {"path": "out.parquet"}},
            "whole file",
            "partitions share one file",
        ),
        ({"partitions": {"timezone": "Mars/Base"}}, "partitions.timezone", "no time zone"),
        ({"schedule": {"cron": "every day"}}, "schedule.cron", "not a cron"),
        ({"output": {"path": "out.txt"}}, "output", "does not end in"),
        ({"output": {"columns": ["error"]}}, "output", "a column of the answers"),
        ({"freshness": {"within_h": 1, "warn_after_h": 2}}, "freshness", "must be below"),
        ({"checks": {"answer_schema": {"type": 3}}}, "checks.answer_schema", "not a JSON Schema"),
    ],
)
def test_an_error_names_file_key_and_what_is_wrong(
    installation: Installation, changed: dict[str, Any], key: str, what: str
) -> None:
    file = declare(installation, "wrong", **changed)

    with pytest.raises(ConfigError) as caught:
        load_dataset(file, installation.fleet, installation.state)

    assert caught.value.where == str(file)
    assert key in caught.value.what
    assert what in caught.value.what
    assert "docs/datasets.md" in caught.value.fix


@pytest.mark.parametrize(
    "written",
    [
        "partitions: {by: daily, start: 2026-02-30}",  # YAML's own dates are checked by nobody else
        "description: " + "[" * 3000 + "]" * 3000,
    ],
)
def test_what_yaml_stumbles_over_is_refused_by_name(
    installation: Installation, written: str
) -> None:
    file = declare(installation, "wrong")
    file.write_text(written)

    with pytest.raises(ConfigError) as caught:
        load_dataset(file, installation.fleet, installation.state)

    assert caught.value.where == str(file)


@pytest.mark.parametrize("name", ["allocation", "batches", "With Capitals", "9lives"])
def test_a_name_that_means_something_else_is_refused(installation: Installation, name: str) -> None:
    with pytest.raises(ConfigError, match="the file's name"):
        load_dataset(declare(installation, name), installation.fleet, installation.state)


def test_every_name_of_turntables_own_jobs_and_ops_is_refused(installation: Installation) -> None:
    jobs = build_definitions(installation).get_repository_def().get_all_jobs()
    names = {part.name for job in jobs for part in (job, *job.all_node_defs)}
    shipped = {"batch", "batch_prompts", "batch_completions"}

    free = {name for name in names - RESERVED - shipped if NAME.fullmatch(name)}

    assert all(name.startswith("weights__") for name in free)


def test_a_dataset_of_the_fleet_takes_the_place_of_one_that_is_shipped(
    installation: Installation,
) -> None:
    file = declare(installation, "batch")

    (loaded,) = load_datasets(installation.fleet, installation.state).usable

    assert loaded.file == file


def test_a_file_that_cannot_be_used_takes_nothing_else_down_and_says_what_is_wrong(
    installation: Installation,
) -> None:
    declare(installation, "good")
    declare(installation, "bad", model="huge")
    declare(installation, "allocation")
    (declare(installation, "worse")).write_text("source: [")

    definitions = build_definitions(installation)

    definitions.get_repository_def().load_all_definitions()
    assert definitions.resolve_job_def("allocation").name == "allocation"
    assert definitions.resolve_job_def("good")
    specs = {spec.key: spec for spec in definitions.resolve_all_asset_specs()}
    assert "no 'huge'" in (specs[completions_key("bad")].description or "")
    assert "not YAML" in (specs[completions_key("worse")].description or "")
    assert completions_key("refused_allocation") in specs
    failing = definitions.resolve_schedule_def("bad_schedule")
    with dg.instance_for_test() as instance:
        with pytest.raises(ConfigError, match="no 'huge'"):
            failing(dg.build_schedule_context(instance=instance))
        run = materialized(installation, instance, "bad")
    failure = run.failure_data_for_node("bad_prompts").user_failure_data.description
    assert "bad.yaml: model: the fleet file has no 'huge'" in failure


@pytest.mark.parametrize(
    "names",
    [
        ["batches"],  # as the asset of the Batch API
        ["x", "x_prompts"],  # as an asset of the other
        ["With Capitals", "with-capitals", "refused_with_capitals"],  # two that cannot be used
    ],
)
def test_names_that_meet_take_nothing_else_down(
    installation: Installation, names: list[str]
) -> None:
    for name in names:
        declare(installation, name)
    declare(installation, "good")

    definitions = build_definitions(installation)

    dg.Definitions.validate_loadable(definitions)
    assert definitions.resolve_job_def("good")
    assert definitions.resolve_job_def("answer_batch")
    assert refusals(definitions.get_repository_def())


def test_periods_that_dagster_cannot_make_take_nothing_else_down(
    installation: Installation,
) -> None:
    source = {"kind": "file", "path": "{partition}.csv"}
    declare(installation, "late", source=source, partitions={"by": "daily", "start": "9999-12-31"})

    definitions = build_definitions(installation)

    dg.Definitions.validate_loadable(definitions)
    (why,) = refusals(definitions.get_repository_def())
    assert "late.yaml" in why


def test_a_dataset_becomes_two_assets_a_job_and_a_schedule(installation: Installation) -> None:
    declare(
        installation,
        "reviews",
        PLAIN,
        source={"kind": "file", "path": "{partition}.csv"},
        partitions={"by": "weekly", "start": "2026-01-04", "timezone": "Europe/Berlin"},
        schedule={"cron": "0 3 * * *"},
        freshness={"within_h": 200, "warn_after_h": 180},
        checks={"max_error_rate": 0.1, "min_rows": 2, "answer_schema": {"type": "object"}},
    )

    definitions = build_definitions(installation)

    completions = definitions.resolve_asset_graph().get(completions_key("reviews"))
    assert isinstance(completions.partitions_def, dg.WeeklyPartitionsDefinition)
    assert {key.name for key in completions.check_keys} == {
        "every_row_accounted_for",
        "errors_within_bound",
        "row_count_within_bounds",
        "answers_follow_their_schema",
    }
    (spec,) = (
        spec
        for spec in definitions.resolve_all_asset_specs()
        if spec.key == completions_key("reviews")
    )
    assert spec.freshness_policy is not None
    schedule = definitions.resolve_schedule_def("reviews_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 3 * * *", "Europe/Berlin")
    job = definitions.resolve_job_def("reviews")
    assert job.partitions_def == completions.partitions_def
    assert job.tags.items() >= AFTER_DEATHS.items()
