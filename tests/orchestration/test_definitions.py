"""What Dagster loads, and what loading it costs."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from orchestration.definitions import defs
from orchestration.names import (
    PLAN,
    PROFILES,
    TRAFFIC,
    completions_key,
    prompts_key,
    serving_key,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    monkeypatch.setenv("TURNTABLE_FLEET", str(ROOT / "config" / "fleet.yaml"))
    monkeypatch.setenv("TURNTABLE_STATE", str(tmp_path))
    loaded = defs()
    assert isinstance(loaded, dg.Definitions)
    return loaded


def test_the_graph_is_the_one_a_person_would_draw(shipped: dg.Definitions) -> None:
    graph = shipped.resolve_asset_graph()
    (weights,) = (key for key in graph.get_all_asset_keys() if key.path[0] == "weights")
    models = ["smollm2", "smollm2-exact", "smollm2-long"]

    assert graph.get(PLAN).parent_keys == {TRAFFIC}
    for model in models:
        assert graph.get(serving_key(model)).parent_keys == {PLAN, weights}
    assert graph.get(PROFILES).parent_keys == {serving_key(m) for m in models}
    assert graph.get(completions_key("batch")).parent_keys == {
        prompts_key("batch"),
        *(serving_key(m) for m in models),
    }


def test_a_code_server_can_load_them(shipped: dg.Definitions) -> None:
    # It also refuses what building them allows, such as a job named as an asset is.
    shipped.get_repository_def().load_all_definitions()


def test_every_asset_says_what_it_is(shipped: dg.Definitions) -> None:
    for spec in shipped.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.kinds, spec.key
        assert spec.owners, spec.key
        assert spec.group_name != "default", spec.key
        assert "turntable/plane" in spec.tags, spec.key


def test_profiles_have_one_partition_a_model_and_are_measured_only_when_asked(
    shipped: dg.Definitions,
) -> None:
    profiles = shipped.resolve_asset_graph().get(PROFILES)

    assert profiles.partitions_def is not None
    assert set(profiles.partitions_def.get_partition_keys()) == {
        "smollm2",
        "smollm2-exact",
        "smollm2-long",
    }
    assert [schedule.name for schedule in shipped.schedules or []] == ["batch_schedule"]


def test_sensor_and_schedule_run_unasked(shipped: dg.Definitions) -> None:
    sensor = shipped.resolve_sensor_def("allocation_sensor")
    schedule = shipped.resolve_schedule_def("batch_schedule")

    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_loading_the_definitions_imports_nothing_heavy_and_reads_no_fleet_file() -> None:
    script = (
        "import json, sys, orchestration.definitions; "
        "heavy = ('torch', 'vllm', 'transformers', 'aiohttp', 'matplotlib'); "
        "print(json.dumps([m for m in heavy if m in sys.modules]))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"TURNTABLE_FLEET": "/nowhere"},
        capture_output=True,
        check=True,
        text=True,
    )

    assert json.loads(loaded.stdout) == []
