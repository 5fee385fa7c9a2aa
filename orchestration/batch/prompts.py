"""Prompt files: one Parquet file a day, checked into requests or into rows with an error.

A file that cannot be accounted for row by row is refused as a whole; a row that cannot be asked
is answered with an error. `serving.config.StateFolder.prompts` documents the columns.
"""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from orchestration.errors import PromptFileError
from serving.config import Fleet

DEFAULT_MAX_TOKENS = 256


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One row: a request body, or why there is none."""

    id: str
    model: str
    body: dict[str, Any] | None
    error: str | None = None

    @property
    def fingerprint(self) -> str:
        """Changes when the row asks for something else."""
        asked = msgspec.json.encode([self.body, self.error], order="sorted")
        return hashlib.sha256(asked).hexdigest()[:16]


def read_prompts(path: Path, fleet: Fleet) -> list[Prompt]:
    """The prompts of a file, in its order. Raises PromptFileError."""
    return [_prompt(row, fleet) for row in read_prompt_file(path).iter_rows(named=True)]


def read_prompt_file(path: Path) -> pl.DataFrame:
    """The file as it is, once its rows can be told apart. Raises PromptFileError."""
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise PromptFileError(
            f"not readable as Parquet: {error}", where=str(path), fix="Write it with polars."
        ) from error
    if "id" not in frame.columns or not {"prompt", "messages"} & set(frame.columns):
        raise PromptFileError(
            f"it has the columns {frame.columns}",
            where=str(path),
            fix="It needs id, and prompt or messages.",
        )
    frame = frame.with_columns(pl.col("id").cast(pl.String))
    doubled = frame.filter(pl.col("id").is_duplicated() | pl.col("id").is_null())
    if doubled.height:
        raise PromptFileError(
            f"{doubled.height} rows share an id or have none, such as {doubled['id'][0]!r}",
            where=str(path),
            fix="Give every row an id of its own.",
        )
    return frame


def _prompt(row: dict[str, Any], fleet: Fleet) -> Prompt:
    model = row.get("model") or fleet.models[0].name
    try:
        fleet.model(model)
        messages = _messages(row)
        body = {
            "model": model,
            "messages": messages,
            "max_tokens": int(row.get("max_tokens") or DEFAULT_MAX_TOKENS),
            "temperature": float(row.get("temperature") or 0.0),
            "service_tier": "flex",
        }
    except KeyError:
        return Prompt(id=row["id"], model=model, body=None, error=f"no model is called {model!r}")
    except (ValueError, TypeError) as error:
        return Prompt(id=row["id"], model=model, body=None, error=str(error))
    return Prompt(id=row["id"], model=model, body=body)


def _messages(row: dict[str, Any]) -> list[Any]:
    """The chat messages of a row. Raises ValueError."""
    if row.get("messages"):
        try:
            return msgspec.json.decode(row["messages"], type=list[Any])
        except msgspec.DecodeError as error:
            raise ValueError(f"messages is not a JSON list: {error}") from error
    if row.get("prompt"):
        return [{"role": "user", "content": row["prompt"]}]
    raise ValueError("the row has neither prompt nor messages")
