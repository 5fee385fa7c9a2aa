"""Before the first start: weights and Dagster's storage are there, whole, and made once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.config import Fleet, StateFolder, load_fleet
from serving.config.fleet import WeightsSettings
from serving.errors import WeightsError
from turntable.supervision.preparation import StorageFailed, prepare_instance
from turntable.supervision.programs import environment, repository

FLEET_FILE = repository() / "config" / "fleet.yaml"


@pytest.fixture
def fleet() -> Fleet:
    return load_fleet(FLEET_FILE)


def test_the_storage_is_made_once(fleet: Fleet, new_state: Callable[[str], StateFolder]) -> None:
    state = new_state("state")
    variables = environment(fleet, FLEET_FILE, state, os.environ)
    first: list[str] = []
    second: list[str] = []

    prepare_instance(fleet, state, variables, first.append)
    prepare_instance(fleet, state, variables, second.append)

    assert first == ["making Dagster's storage (once)"], "the weights were there"
    assert (state.dagster / "history" / "runs.db").stat().st_size > 0
    assert second == []


def test_a_storage_that_cannot_be_made_is_named(
    fleet: Fleet, new_state: Callable[[str], StateFolder], tmp_path: Path
) -> None:
    state = new_state("state")
    variables = environment(fleet, FLEET_FILE, state, os.environ)
    nowhere = {**variables, "DAGSTER_HOME": str(tmp_path / "nowhere")}

    with pytest.raises(StorageFailed) as caught:
        prepare_instance(fleet, state, nowhere, print)

    assert caught.value.where == str(state.dagster)
    assert "nowhere" in caught.value.what


def test_the_fleets_budget_for_weights_is_kept(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(folder: Path, _progress: object) -> None:
        (folder / "model.safetensors").write_bytes(b"weights" * 1000)

    monkeypatch.setattr("serving.weights.recipes.convert_packaged", convert)
    state = StateFolder(tmp_path)
    small = fleet.model_copy(update={"weights": WeightsSettings(budget_gib=1e-6)})
    with pytest.raises(WeightsError, match="does not fit"):
        prepare_instance(small, state, environment(small, FLEET_FILE, state, os.environ), print)
