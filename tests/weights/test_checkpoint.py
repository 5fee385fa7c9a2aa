import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from serving.config import ModelSettings, StateFolder
from serving.config.fleet import HubSource, LocalSource, PackagedSource, RandomSource
from serving.errors import WeightsError
from serving.weights import checkpoint_path, hold, prepare


def _model(source: object, **settings: object) -> ModelSettings:
    return ModelSettings.model_validate({"name": "m", "source": source, **settings})


def _silent(_sentence: str) -> None:
    return None


def test_models_of_one_source_share_one_checkpoint(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    source = PackagedSource(kind="packaged")
    exact = _model(source, dtype="float32", max_model_len=4096)
    assert checkpoint_path(exact, state) == checkpoint_path(_model(source), state)


def test_every_setting_of_random_weights_makes_another_checkpoint(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    variants = [{}, {"seed": 1}, {"layers": 5}, {"hidden_size": 512}, {"heads": 2}]
    variants.append({"vocabulary": 50000})
    paths = {
        checkpoint_path(_model(RandomSource(kind="random", **variant)), state)
        for variant in variants
    }
    assert len(paths) == len(variants)
    assert all("random" in path.name for path in paths)


def test_two_revisions_of_a_hub_repository_are_two_checkpoints(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    main, other = (
        checkpoint_path(_model(HubSource(kind="hub", repo="a/b", revision=r)), state)
        for r in ("main", "dev/x")
    )
    assert main != other
    assert main.parent == other.parent == state.weights


def test_a_local_checkpoint_is_used_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    model = _model(LocalSource(kind="local", path=tmp_path))
    assert prepare(model, StateFolder(tmp_path / "state"), _silent) == tmp_path


@pytest.mark.parametrize("exists", [True, False])
def test_a_wrong_local_folder_is_named_with_the_fix(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "model"
    if exists:
        folder.mkdir()
    model = _model(LocalSource(kind="local", path=folder))
    with pytest.raises(WeightsError, match="model") as caught:
        prepare(model, StateFolder(tmp_path / "state"), _silent)
    assert str(folder) in caught.value.where
    assert caught.value.fix


def test_random_weights_of_an_impossible_shape_are_refused(tmp_path: Path) -> None:
    model = _model(RandomSource(kind="random", hidden_size=100, heads=3))
    with pytest.raises(WeightsError, match="not a multiple"):
        prepare(model, StateFolder(tmp_path), _silent)


def test_a_failed_conversion_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    from serving.weights import recipes

    with pytest.raises(WeightsError, match="conversion failed"):
        recipes.write_random(RandomSource(kind="random"), broken, tmp_path / "out", _silent)


def test_the_packaged_checkpoint_is_bfloat16_with_a_chat_template(
    prepared_state: StateFolder,
) -> None:
    path = checkpoint_path(_model(PackagedSource(kind="packaged")), prepared_state)
    config = json.loads((path / "config.json").read_text())
    assert config["model_type"] == "llama"
    assert "quantization_config" not in config
    assert "<|im_start|>" in (path / "chat_template.jinja").read_text()
    with safe_open(path / "model.safetensors", "pt") as tensors:
        kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118 - not a mapping
    assert kinds == {"BF16"}


def test_preparing_again_does_no_work(prepared_state: StateFolder) -> None:
    said: list[str] = []
    prepare(_model(PackagedSource(kind="packaged")), prepared_state, said.append)
    assert said == []


def test_random_weights_have_the_asked_shape_and_a_tokenizer_that_fits(
    prepared_state: StateFolder,
) -> None:
    source = RandomSource(kind="random", hidden_size=128, heads=2, layers=2, vocabulary=50000)
    said: list[str] = []
    path = prepare(_model(source), prepared_state, said.append)
    config = json.loads((path / "config.json").read_text())
    assert (config["hidden_size"], config["num_hidden_layers"]) == (128, 2)
    assert config["vocab_size"] == 50000
    assert "<|im_start|>" in (path / "chat_template.jinja").read_text()


def test_a_conversion_that_meets_a_full_disk_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = tmp_path / "converter"
    converter.write_text("#!/bin/sh\ncat /proc/self/stat > /dev/full\n")
    converter.chmod(0o755)
    monkeypatch.setattr("serving.weights.recipes.sys.executable", str(converter))
    state = StateFolder(tmp_path / "state")
    with pytest.raises(WeightsError, match="the disk is full"):
        prepare(_model(PackagedSource(kind="packaged")), state, _silent)
    assert not checkpoint_path(_model(PackagedSource(kind="packaged")), state).exists()


def _write_little(_source: object, _tokenizer: Path, folder: Path, _progress: object) -> None:
    (folder / "config.json").write_text("{}")


def test_a_held_checkpoint_is_not_removed_for_another(
    prepared_state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.weights.recipes.write_random", _write_little)
    random = _model(RandomSource(kind="random", hidden_size=64, heads=1, layers=1))
    with hold(_model(PackagedSource(kind="packaged")), prepared_state, _silent) as lease:
        with pytest.raises(WeightsError, match=lease.path.name):
            prepare(random, prepared_state, _silent, budget_gib=0.001)
        assert (lease.path / "model.safetensors").is_file()


def test_a_conversion_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "serving.weights.conversion", "packaged"]
    conversion = subprocess.Popen(
        [*command, json.dumps({"folder": str(tmp_path / "out")})],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert conversion.stdin is not None
    conversion.stdin.close()  # as the kernel does when that process is killed
    assert conversion.wait(60) == 1
    assert not (tmp_path / "out").exists()
