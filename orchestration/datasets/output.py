"""The output of a portion: one row for each row of the source, in its order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import polars as pl

from orchestration.batch.asks import Outcome
from orchestration.batch.journal import Journal
from orchestration.datasets.declaration import ANSWER_COLUMNS
from orchestration.datasets.loading import LoadedDataset
from orchestration.datasets.patterns import Portion
from orchestration.datasets.requests import Requests
from orchestration.datasets.sources import Rows

DEFAULT_PATH = "{state}/datasets/{name}/{partition}.parquet"
DEFAULT_WHOLE_PATH = "{state}/datasets/{name}/all.parquet"
SCHEMA: dict[str, Any] = dict.fromkeys(ANSWER_COLUMNS, pl.String) | {
    "prompt_tokens": pl.Int64,
    "completion_tokens": pl.Int64,
    "seconds": pl.Float64,
}
_SAID = 500


class _Message(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Message
    finish_reason: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    """The part of a chat completion that a row keeps."""

    choices: tuple[_Choice, ...]


class AnswerRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of an output, without what is taken over from the source: `ANSWER_COLUMNS`."""

    id: str
    model: str
    completion: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    error: str | None = None


def output_file(dataset: LoadedDataset, portion: Portion) -> Path:
    """Where the answers of a portion are."""
    default = DEFAULT_WHOLE_PATH if portion.partition is None else DEFAULT_PATH
    return dataset.place.fill(dataset.declared.output.path or default, portion)


def journal_file(dataset: LoadedDataset, portion: Portion, model: str) -> Path:
    """Where the answers of a model are kept as they come."""
    output = output_file(dataset, portion)
    return output.parent / "checkpoints" / f"{output.stem}.{model}.jsonl"


def version_file(dataset: LoadedDataset, portion: Portion) -> Path:
    """Where it is noted of which version of the source the output is."""
    output = output_file(dataset, portion)
    return output.parent / "checkpoints" / f"{output.stem}.version"


def note_version(dataset: LoadedDataset, portion: Portion, written_ns: int) -> None:
    """Note of which version of the source the output is that was just written."""
    path = version_file(dataset, portion)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".noting")
    draft.write_text(str(written_ns))
    draft.replace(path)


def is_of_version(dataset: LoadedDataset, portion: Portion, written_ns: int) -> bool:
    """Whether there is an output, and of a source that was written then.

    One without a note counts if it is newer.
    """
    output, version = output_file(dataset, portion), version_file(dataset, portion)
    if not output.exists():
        return False
    if version.exists():
        return version.read_text() == str(written_ns)
    return output.stat().st_mtime_ns > written_ns


def read_output(path: Path) -> pl.DataFrame:
    """What was written."""
    return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ndjson(path)


def write_output(path: Path, rows: Rows, columns: list[str], answers: Iterator[AnswerRow]) -> None:
    """Write an output whole: a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines, draft = path.with_suffix(".lines"), path.with_suffix(".draft")
    with lines.open("wb") as file:
        _write_lines(file, answers)
    frame = (
        pl.scan_ndjson(lines, schema=SCHEMA) if rows.frame.height else pl.LazyFrame(schema=SCHEMA)
    )
    if columns:
        frame = pl.concat([frame, rows.frame.lazy().select(columns)], how="horizontal")
    (frame.sink_parquet if path.suffix == ".parquet" else frame.sink_ndjson)(draft)
    draft.replace(path)
    lines.unlink()


def answer_rows(
    requests: Requests, rows: Rows, journals: dict[str, Journal]
) -> Iterator[AnswerRow]:
    """The row of every request; asks that have no outcome yet are an error."""
    for number, (name, key, model) in enumerate(
        zip(rows.ids, requests.keys, requests.row_models, strict=True)
    ):
        if key is None:
            yield AnswerRow(id=name, model=model, error=requests.refused[number])
        else:
            outcome = journals[model].read(key)
            assert outcome is not None, f"row {name} is not done"
            yield answer_row(outcome, model)


def answer_row(outcome: Outcome, model: str) -> AnswerRow:
    """What a row says of an outcome."""
    row = AnswerRow(
        id=outcome.custom_id,
        model=model,
        prompt_tokens=outcome.tokens.prompt,
        completion_tokens=outcome.tokens.completion,
        seconds=outcome.seconds,
    )
    if outcome.error is not None:
        return msgspec.structs.replace(row, error=outcome.error.message)
    if not outcome.ok:
        said = bytes(outcome.body)[:_SAID].decode(errors="replace")
        return msgspec.structs.replace(row, error=f"{outcome.status}: {said}")
    try:
        choice = msgspec.json.decode(outcome.body, type=_Answer).choices[0]
    except (msgspec.MsgspecError, IndexError) as error:
        return msgspec.structs.replace(row, error=f"the answer is not a chat completion: {error}")
    return msgspec.structs.replace(
        row, completion=choice.message.content, finish_reason=choice.finish_reason
    )


def _write_lines(file: BinaryIO, answers: Iterator[AnswerRow]) -> None:
    encode = msgspec.json.Encoder().encode
    for row in answers:
        file.write(encode(row) + b"\n")
