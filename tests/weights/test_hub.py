"""The hub's files, with a stand-in for its library that keeps a cache of the same layout."""

import hashlib
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from serving.config import ModelSettings, StateFolder
from serving.config.fleet import HubSource
from serving.errors import WeightsError
from serving.weights import prepare

_WEIGHTS, _CONFIG = b"weights" * 100, b"{}"
_MODEL = ModelSettings(name="m", source=HubSource(kind="hub", repo="a/b"))


class Hub:
    """Fills the cache with what is missing there, as the real library does."""

    def __init__(self, root: Path) -> None:
        self.blobs, self.snapshot = root / "blobs", root / "snapshots" / "1"
        self.files = {"model.safetensors": _WEIGHTS, "config.json": _CONFIG}
        self.online = True
        self.fetched: list[str] = []
        self.cut = b""
        """What the network takes off the end of every file."""
        for folder in (self.blobs, self.snapshot):
            folder.mkdir(parents=True)

    def snapshot_download(self, repo: str, **_settings: object) -> str:
        for name, content in self.files.items():
            if (self.snapshot / name).exists():
                continue
            if not self.online:
                raise LocalEntryNotFoundError(repo)
            blob = self.blob(name)
            blob.write_bytes(content.removesuffix(self.cut))
            (self.snapshot / name).symlink_to(blob)
            self.fetched.append(name)
        return str(self.snapshot)

    def blob(self, name: str) -> Path:
        content = self.files[name]
        if name.endswith(".safetensors"):
            return self.blobs / hashlib.sha256(content).hexdigest()
        return self.blobs / hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


def _prepare(tmp_path: Path) -> tuple[Path, list[str]]:
    said: list[str] = []
    return prepare(_MODEL, StateFolder(tmp_path / "state"), said.append), said


def test_a_repository_is_fetched_once_and_takes_no_second_copy(hub: Hub, tmp_path: Path) -> None:
    path, _ = _prepare(tmp_path)
    assert (path / "model.safetensors").read_bytes() == _WEIGHTS
    assert (path / "model.safetensors").samefile(hub.blob("model.safetensors"))
    _, said = _prepare(tmp_path)
    assert said == []
    assert sorted(hub.fetched) == sorted(hub.files)


def test_the_checkpoint_outlives_the_hubs_cache(hub: Hub, tmp_path: Path) -> None:
    path, _ = _prepare(tmp_path)
    for blob in hub.blobs.iterdir():
        blob.unlink()
    assert (path / "model.safetensors").read_bytes() == _WEIGHTS


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_damaged_in_the_cache_is_named_and_fetched_again(
    hub: Hub, tmp_path: Path, name: str
) -> None:
    hub.snapshot_download("a/b")
    hub.blob(name).write_bytes(b"damage")
    hub.fetched.clear()
    path, said = _prepare(tmp_path)
    assert (path / name).read_bytes() == hub.files[name]
    assert hub.fetched == [name]
    assert any(name in sentence and "damaged" in sentence for sentence in said)


def test_damage_to_the_bytes_shared_with_the_cache_is_mended(hub: Hub, tmp_path: Path) -> None:
    path, _ = _prepare(tmp_path)
    (path / "model.safetensors").write_bytes(b"damage")
    path, said = _prepare(tmp_path)
    assert (path / "model.safetensors").read_bytes() == _WEIGHTS
    assert "model.safetensors has the hash" in said[0]


def test_a_damaged_file_that_cannot_be_fetched_is_not_used(hub: Hub, tmp_path: Path) -> None:
    path, _ = _prepare(tmp_path)
    (path / "model.safetensors").write_bytes(b"damage")
    hub.online = False
    with pytest.raises(WeightsError, match="cannot be reached"):
        _prepare(tmp_path)
    hub.online = True
    assert (_prepare(tmp_path)[0] / "model.safetensors").read_bytes() == _WEIGHTS


def test_a_file_that_always_comes_damaged_is_refused_by_name(hub: Hub, tmp_path: Path) -> None:
    hub.cut = b"weights"
    with pytest.raises(WeightsError, match=r"model\.safetensors came damaged twice"):
        _prepare(tmp_path)


def test_a_repository_without_weights_is_refused(hub: Hub, tmp_path: Path) -> None:
    del hub.files["model.safetensors"]
    with pytest.raises(WeightsError, match="no weights as safetensors"):
        _prepare(tmp_path)
