"""Reading a portion of a dataset's source into rows that can be told apart.

A source that cannot be accounted for row by row is refused as a whole.
"""

from pathlib import Path
from typing import Any

import duckdb
import msgspec
import polars as pl

from analytics.client import literal
from analytics.errors import StoreError
from analytics.traffic import TrafficReader
from orchestration.datasets.declaration import FORMATS, FileSource, QuerySource, TrafficSource
from orchestration.datasets.loading import LoadedDataset
from orchestration.datasets.patterns import Portion
from orchestration.datasets.templates import columns_named
from orchestration.errors import SourceError
from serving.config import Fleet, StateFolder

_GLOB = "*?["


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a portion, in the source's order."""

    frame: pl.DataFrame
    ids: pl.Series
    """Texts, no two alike: one for each row."""
    written_ns: int | None = None
    """When the files were last written that were read; None: it was a query."""


def read_rows(dataset: LoadedDataset, portion: Portion, fleet: Fleet, state: StateFolder) -> Rows:
    """The source's rows. Raises SourceError."""
    source = dataset.declared.source
    written = None
    if isinstance(source, FileSource):
        written = written_ns(source_files(dataset, portion))  # before: they may grow meanwhile
        frame, where = _from_files(dataset, source, portion)
    elif isinstance(source, QuerySource):
        frame, where = _from_query(dataset, source, portion), f"{dataset.file}, source.sql"
    else:
        frame = _from_store(dataset, source, portion, fleet, state)
        where = f"{dataset.file}, source.sql"
    _check_columns(dataset, frame, where)
    return Rows(frame=frame, ids=_ids(frame, source.id, where), written_ns=written)


def source_files(dataset: LoadedDataset, portion: Portion) -> list[Path]:
    """The files of a portion that are there; none for a query."""
    source = dataset.declared.source
    if not isinstance(source, FileSource):
        return []
    path = dataset.place.fill(source.path, portion)
    if not any(sign in path.name for sign in _GLOB):
        return [path] if path.exists() else []
    return sorted(path.parent.glob(path.name))


def written_ns(files: list[Path]) -> int | None:
    """When the last of them was written; None: there is none."""
    return max((file.stat().st_mtime_ns for file in files), default=None)


def _from_files(
    dataset: LoadedDataset, source: FileSource, portion: Portion
) -> tuple[pl.DataFrame, str]:
    where = dataset.place.fill(source.path, portion)
    files = source_files(dataset, portion)
    if not files:
        raise SourceError(
            "there is no such file", where=str(where), fix="Write it, or mend source.path."
        )
    kind = source.format or FORMATS[where.suffix]
    try:
        return pl.concat([_read(file, kind) for file in files], how="diagonal_relaxed"), str(where)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            f"not readable as {kind}: {error}", where=str(where), fix="Write it again."
        ) from error


def _read(file: Path, kind: str) -> pl.DataFrame:
    if kind == "parquet":
        return pl.read_parquet(file)
    if kind == "jsonl":
        return pl.read_ndjson(file, infer_schema_length=None)
    return pl.read_csv(file, infer_schema_length=None)


def _from_query(dataset: LoadedDataset, source: QuerySource, portion: Portion) -> pl.DataFrame:
    folder = dataset.place.folder
    database = ":memory:" if source.database is None else str(folder / source.database)
    try:
        with duckdb.connect(database, read_only=source.database is not None) as connection:
            connection.execute(f"SET file_search_path = {literal(str(folder))}")
            return connection.execute(source.sql, parameters(source.sql, portion)).pl()
    except (duckdb.Error, OSError) as error:
        raise _query_failed(dataset, error) from error


def _from_store(
    dataset: LoadedDataset,
    source: TrafficSource,
    portion: Portion,
    fleet: Fleet,
    state: StateFolder,
) -> pl.DataFrame:
    store = fleet.store
    try:
        with TrafficReader(store.address, store.port, state.token("store")) as reader:
            return reader.query(source.sql, parameters(source.sql, portion))
    except (StoreError, duckdb.Error) as error:
        raise _query_failed(dataset, error) from error


def parameters(sql: str, portion: Portion) -> dict[str, Any]:
    """What the statement's placeholders stand for. Raises duckdb.Error if it is none."""
    (statement, *_) = duckdb.extract_statements(sql)
    known = {"partition": portion.partition, "start": portion.start, "end": portion.end}
    return {name: known.get(name) for name in statement.named_parameters}


def _query_failed(dataset: LoadedDataset, error: Exception) -> SourceError:
    return SourceError(
        f"the query fails: {error}", where=f"{dataset.file}, source.sql", fix="Mend the statement."
    )


def _check_columns(dataset: LoadedDataset, frame: pl.DataFrame, where: str) -> None:
    """Raise SourceError unless the columns that every row needs are there."""
    declared, source = dataset.declared, dataset.declared.source
    needed = set(declared.output.columns) | ({source.id} if source.id else set())
    whole = declared.template.messages_column
    if whole is None or whole not in frame.columns:
        needed |= columns_named(declared.template)
    missing = sorted(needed - set(frame.columns))
    if missing:
        raise SourceError(
            f"it has the columns {frame.columns}, but not {', '.join(missing)}",
            where=where,
            fix=f"Add what is missing, or mend {dataset.file}.",
        )


def _ids(frame: pl.DataFrame, column: str | None, where: str) -> pl.Series:
    """What tells the rows apart."""
    if column is None:
        return pl.Series("id", range(frame.height), dtype=pl.Int64).cast(pl.String)
    ids = frame[column].cast(pl.String).alias("id")
    doubled = ids.filter(ids.is_duplicated() | ids.is_null())
    if doubled.len():
        raise SourceError(
            f"{doubled.len()} rows share an id or have none, such as {doubled[0]!r}",
            where=where,
            fix=f"Give every row a {column} of its own.",
        )
    return ids
