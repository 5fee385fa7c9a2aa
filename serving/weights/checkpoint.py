"""Where a model's checkpoint is, and making it be there.

The key of a checkpoint comes from the model's source alone: models that differ in dtype or
context length share one. How files are made is `recipes` and `hub`; how they appear whole or not at
all, and stay so, is `store`.
"""

import hashlib
import re
from contextlib import ExitStack
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
from serving.weights import hub, recipes
from serving.weights.locks import Lease
from serving.weights.store import CheckpointStore, Make, Progress

_GIB = 2**30

_FORMAT = 2
"""Goes up when a conversion changes, so that a folder made by an older one is not taken."""


def checkpoint_path(model: ModelSettings, state: StateFolder) -> Path:
    """The folder that holds, or will hold, the model's checkpoint. Makes and checks nothing."""
    source = model.source
    if isinstance(source, LocalSource):
        return source.path
    return state.weights / _key(source)


def prepare(
    model: ModelSettings, state: StateFolder, progress: Progress, *, budget_gib: float | None = None
) -> Path:
    """Make sure that the model's checkpoint is there and whole, and return its folder.

    Cheap when it is. Processes may call it at once: one works, the others wait. `progress` is
    called with short sentences. With a budget, checkpoints that nobody holds may be removed for
    this one, and afterwards this one for another: whoever goes on using it calls `hold`. Raises
    WeightsError.
    """
    with hold(model, state, progress, budget_gib=budget_gib) as lease:
        return lease.path


def hold(
    model: ModelSettings, state: StateFolder, progress: Progress, *, budget_gib: float | None = None
) -> Lease:
    """Like `prepare`, but the checkpoint stays until the lease is released or the process ends."""
    path = checkpoint_path(model, state)
    if isinstance(model.source, LocalSource):
        return Lease(_checked_local(model.name, path), None)
    store = CheckpointStore(state.weights)
    lease = store.lease(path.name)
    try:
        with ExitStack() as needed:
            make = _recipe(model, state, progress, budget_gib, needed)
            budget_bytes = None if budget_gib is None else int(budget_gib * _GIB)
            store.ensure(path.name, make, progress, budget_bytes)
    except BaseException:
        lease.release()
        raise
    return lease


def _recipe(
    model: ModelSettings,
    state: StateFolder,
    progress: Progress,
    budget_gib: float | None,
    needed: ExitStack,
) -> Make:
    """What fills the checkpoint's folder; leases it needs for that go on `needed`."""
    source = model.source
    if isinstance(source, RandomSource):
        _check_shape(source, model.name)

        def write_random(folder: Path) -> None:
            donor = model.model_copy(update={"source": PackagedSource(kind="packaged")})
            tokenizer = needed.enter_context(hold(donor, state, progress, budget_gib=budget_gib))
            progress("writing random weights")
            recipes.write_random(source, tokenizer.path, folder, progress)

        return write_random
    if isinstance(source, HubSource):
        repo, revision = source.repo, source.revision

        def fetch(folder: Path) -> None:
            progress(f"downloading {repo}")
            hub.download(repo, revision, folder, progress)

        return fetch

    def convert(folder: Path) -> None:
        progress("converting the packaged weights (once)")
        recipes.convert_packaged(folder, progress)

    return convert


def _check_shape(source: RandomSource, name: str) -> None:
    if source.hidden_size % source.heads:
        raise WeightsError(
            f"hidden_size {source.hidden_size} is not a multiple of heads {source.heads}",
            where=f"model {name}, source",
            fix="Choose a multiple.",
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
