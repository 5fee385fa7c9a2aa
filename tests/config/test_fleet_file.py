"""The fleet file: what is accepted, and what an error tells."""

from pathlib import Path

import pytest

from serving.config import load_fleet, reference
from serving.errors import ConfigError

ROOT = Path(__file__).parents[2]

GOOD = """
hosts:
  - {name: host-0, port: 8101, starts_with: tiny}
models:
  - {name: tiny, source: {kind: packaged}}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["fleet.yaml", "fleet.gpu.yaml"])
def test_the_shipped_fleet_files_load(name: str) -> None:
    fleet = load_fleet(ROOT / "config" / name)
    assert fleet.models


def test_the_default_fleet_is_two_hosts_and_three_models_that_need_no_network() -> None:
    fleet = load_fleet(ROOT / "config" / "fleet.yaml")
    assert len(fleet.hosts) == 2
    assert len(fleet.models) == 3
    assert {model.source.kind for model in fleet.models} == {"packaged"}
    assert {host.address for host in fleet.hosts} == {"127.0.0.1"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: there is no such file"):
        load_fleet(tmp_path / "nowhere.yaml")


def test_a_folder_in_place_of_the_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it cannot be read: Is a directory"):
        load_fleet(tmp_path)


@pytest.mark.parametrize(
    ("change", "key", "what"),
    [
        (("port: 8101", "port: 99999"), "hosts.0.port", "less than or equal to 65535"),
        (("port: 8101", "prot: 8101"), "hosts.0.prot", "mean port?"),
        (("kind: packaged", "kind: stork"), "models.0.source", "'stork'"),
        (("name: tiny,", "name: tiny, slots: 2, interactive_cap: 3,"), "models.0", "above slots"),
        (
            ("name: tiny,", "name: tiny, min_replicas: 2, max_replicas: 1,"),
            "models.0",
            "below min_replicas",
        ),
        (("hosts:", "weights: {budget_gib: 0}\nhosts:"), "weights.budget_gib", "greater than 0"),
        (("starts_with: tiny", "starts_with: huge"), "whole file", "not one of the models"),
        (
            ("name: tiny,", "name: tiny, min_replicas: 2, max_replicas: 2,"),
            "whole file",
            "there are 1 hosts",
        ),
    ],
)
def test_an_error_names_file_key_and_what_is_wrong(
    tmp_path: Path, change: tuple[str, str], key: str, what: str
) -> None:
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(ConfigError) as caught:
        load_fleet(path)
    assert caught.value.where == str(path)
    assert key in caught.value.what
    assert what in caught.value.what
    assert caught.value.fix


def test_two_listeners_on_one_port_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("8101", "8000"))
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:8000 stands there twice"):
        load_fleet(path)


def test_every_wrong_key_is_reported_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("8101", "-1").replace("tiny, source", "tiny!, source"))
    with pytest.raises(ConfigError) as caught:
        load_fleet(path)
    assert "hosts.0.port" in caught.value.what
    assert "models.0.name" in caught.value.what


def test_relative_paths_count_from_the_fleet_file(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("{kind: packaged}", "{kind: local, path: ckpt}"))
    source = load_fleet(path).model("tiny").source
    assert source.kind == "local"
    assert source.path == tmp_path / "ckpt"


def test_the_reference_page_is_what_the_schema_says() -> None:
    assert (ROOT / "docs" / "fleet.md").read_text() == reference.render()


KEY = "{name: ada, sha256: " + "a" * 64 + "}"


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (f"[{KEY}, {KEY}]", "stands there twice"),
        ("[{name: ada, sha256: plain-text-key}]", "sha256"),
        (f"[{KEY.replace('ada', 'batch')}]", "of the fleet's own"),
        (f"[{KEY.replace('ada', 'operator')}]", "of the fleet's own"),
        (f"[{KEY}, {{name: ada, weight: 3, sha256: {'b' * 64}}}]", "one weight"),
        (f"[{KEY.replace('}', ', weight: 0}')}]", "weight"),
    ],
)
def test_keys_that_mean_nothing_are_refused(tmp_path: Path, keys: str, says: str) -> None:
    assert load_fleet(write(tmp_path, GOOD + f"keys: [{KEY}]")).keys[0].name == "ada"
    with pytest.raises(ConfigError, match=says):
        load_fleet(write(tmp_path, GOOD + f"keys: {keys}"))
