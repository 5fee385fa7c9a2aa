"""Finding and reading dataset files: those that come with Turntable, and the fleet's own.

A file that cannot be used is refused by itself; it takes nothing else down.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from orchestration.datasets.declaration import Dataset, FileSource
from orchestration.datasets.patterns import Place
from orchestration.datasets.templates import check_template
from serving.config import Fleet, StateFolder
from serving.config.documents import read_document
from serving.errors import ConfigError

SHIPPED = Path(__file__).parent / "shipped"
ENDINGS = (".yaml", ".yml")
NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
RESERVED = frozenset(
    {
        "allocation",
        "answer_batch",
        "batch_size_profiles",
        "batches",
        "decide",
        "hotswap",
        "profiles",
        "serving",
        "start_hotswaps",
        "verify",
    }
)
"""Other jobs and ops; Dagster wants a name of its own for each."""
REFERENCE = "docs/datasets.md"


class LoadedDataset(msgspec.Struct, frozen=True, kw_only=True):
    """A usable dataset."""

    place: Place
    file: Path
    declared: Dataset
    model: str
    """Of rows that name none."""

    @property
    def name(self) -> str:
        """Of the dataset: what its file is called."""
        return self.place.name


class RefusedDataset(msgspec.Struct, frozen=True, kw_only=True):
    """A file that cannot be used, and why."""

    name: str
    file: Path
    error: ConfigError


class Datasets(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    usable: tuple[LoadedDataset, ...]
    refused: tuple[RefusedDataset, ...]


def load_datasets(fleet: Fleet, state: StateFolder) -> Datasets:
    """Every dataset of a fleet; its own files go before those of the same name that are shipped."""
    usable, refused = [], []
    for name, file in sorted(dataset_files(fleet).items()):
        try:
            usable.append(load_dataset(file, fleet, state))
        except ConfigError as error:
            refused.append(RefusedDataset(name=name, file=file, error=error))
    return Datasets(usable=tuple(usable), refused=tuple(refused))


def dataset_files(fleet: Fleet) -> dict[str, Path]:
    """Every file that declares a dataset, by the dataset's name."""
    return {file.stem: file for folder in (SHIPPED, fleet.datasets) for file in _files(folder)}


def load_dataset(file: Path, fleet: Fleet, state: StateFolder) -> LoadedDataset:
    """Read and validate one file. Raises ConfigError."""
    declared = read_document(
        file, Dataset, absent="`turntable datasets` lists those there are.", reference=REFERENCE
    )
    place = Place(folder=file.resolve().parent, state=state.root, name=file.stem)
    try:
        _check_name(file.stem)
        model = _model(declared, fleet)
        check_template(declared.template)
        _check_schemas(declared)
        _check_apart(place, declared)
    except ValueError as error:
        raise ConfigError(
            str(error), where=str(file), fix=f"{REFERENCE} lists every key and what it takes."
        ) from error
    return LoadedDataset(place=place, file=file, declared=declared, model=model)


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(file for file in folder.iterdir() if file.suffix in ENDINGS)


def _check_name(name: str) -> None:
    if name in RESERVED:
        raise ValueError(f"the file's name: {name!r} is a name of Turntable's own")
    if not NAME.fullmatch(name):
        raise ValueError(
            f"the file's name: {name!r} is not made of lower-case letters, digits and underscores"
        )


def _model(declared: Dataset, fleet: Fleet) -> str:
    known = [model.name for model in fleet.models]
    if declared.model is not None and declared.model not in known:
        raise ValueError(f"model: the fleet file has no {declared.model!r}, but {', '.join(known)}")
    return declared.model or known[0]


def _check_apart(place: Place, declared: Dataset) -> None:
    """A run must not write over what it reads, nor read what it wrote."""
    source, output = declared.source, declared.output.path
    if not isinstance(source, FileSource) or output is None:
        return
    if place.meet(source.path, output):
        raise ValueError(f"output.path: {output!r} would be one of the files of source.path")


def _check_schemas(declared: Dataset) -> None:
    schemas = {
        "sampling.response_schema": declared.sampling.response_schema,
        "checks.answer_schema": declared.checks.answer_schema,
    }
    for key, schema in schemas.items():
        if schema is None:
            continue
        from jsonschema import Draft202012Validator, SchemaError  # few datasets need it

        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise ValueError(f"{key}: not a JSON Schema: {error.message}") from error
