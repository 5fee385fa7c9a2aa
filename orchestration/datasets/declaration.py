"""The schema of a dataset file.

Pure data and its validation. Each field's description is the reference for people who write one;
`docs/datasets.md` is generated from them. What fleet and files of the moment say is not known here.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dagster._utils.schedules import is_valid_cron_string
from pydantic import Field, field_validator, model_validator

from orchestration.datasets.patterns import check_pattern, names_a_partition
from serving.config.documents import Section

ColumnName = Annotated[str, Field(min_length=1)]
PartitionKey = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}$")]
Setting = Literal["model", "max_tokens", "temperature", "top_p", "seed"]

ANSWER_COLUMNS = (
    "id",
    "model",
    "completion",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "seconds",
    "error",
)
"""Of every output, before the columns that are taken over from the source."""
OWN_FIELDS = frozenset({"model", "messages", "stream", "service_tier"})
"""Fields of a request that are the dataset's, or the run's, to fill."""
LONGEST_FRESH_H = 87_600.0
FORMATS = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}


class FileSource(Section):
    """Files, one or more a partition."""

    kind: Literal["file"]
    path: str = Field(
        description="with placeholders, and `*` for several files; absolute, or relative to the "
        "dataset file. `.parquet`, `.jsonl` and `.csv` are known"
    )
    format: Literal["parquet", "jsonl", "csv"] | None = Field(
        None, description="absent: by the path's ending"
    )
    id: ColumnName | None = Field(
        None, description="the column that tells rows apart; absent: rows are numbered"
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        check_pattern(self.path)
        if self.format is None and Path(self.path).suffix not in FORMATS:
            raise ValueError(f"path: give `format`, {self.path!r} does not end in a known one")
        return self


class QuerySource(Section):
    """A query of DuckDB, which can read files of many kinds itself.

    `$partition`, `$start` and `$end` stand for the partition's key and period.
    """

    kind: Literal["query"]
    sql: str = Field(min_length=1, description="one statement; relative paths: see `path` above")
    database: Path | None = Field(None, description="a DuckDB file, opened to read; absent: none")
    id: ColumnName | None = Field(
        None,
        description="the column that tells rows apart; absent: rows are numbered, so the query "
        "needs an ORDER BY",
    )


class TrafficSource(Section):
    """A query of the traffic store, with the placeholders of a `query`."""

    kind: Literal["traffic"]
    sql: str = Field(min_length=1, description="one statement over the store's tables and views")
    id: ColumnName | None = Field(None, description="as of a `query`")


Source = Annotated[FileSource | QuerySource | TrafficSource, Field(discriminator="kind")]


class TemplateMessage(Section):
    """A chat message."""

    role: Literal["system", "user", "assistant"] = Field(description="who says it")
    content: str = Field(description="a template")


class Template(Section):
    """How a row becomes a chat: Jinja templates over its columns, as in `{{ text }}`.

    A null is undefined: the row ends with an error, unless the template says what else, as in
    `{{ text | default("nothing") }}`. `partition` is the partition's key.
    """

    system: str | None = Field(None, description="the system message")
    prompt: str | None = Field(None, description="the user's message")
    messages: list[TemplateMessage] = Field(
        default_factory=list, description="the whole chat, in place of `system` and `prompt`"
    )
    messages_column: ColumnName | None = Field(
        None, description="a column of whole chats (a JSON list of messages) that comes first"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.messages and (self.prompt or self.system):
            raise ValueError("give `messages`, or `prompt` with or without `system`")
        if not (self.messages or self.prompt or self.messages_column):
            raise ValueError("give `prompt`, `messages` or `messages_column`")
        return self


class Sampling(Section):
    """How tokens are chosen; what is absent is left to the model."""

    max_tokens: int = Field(256, ge=1, description="the longest answer")
    temperature: float = Field(0.0, ge=0, allow_inf_nan=False, description="0: the likeliest token")
    top_p: float | None = Field(None, gt=0, le=1, description="share of likely tokens")
    seed: int | None = Field(None, description="of the random numbers")
    stop: list[str] = Field(default_factory=list, description="texts that end an answer")
    response_schema: dict[str, Any] | None = Field(
        None, description="JSON Schema that answers follow; the engines see to it"
    )
    extra: dict[str, Any] = Field(
        default_factory=dict,
        description="further fields of the request, such as `top_k`; not `model`, `messages`, "
        "`stream` or `service_tier`",
    )

    @field_validator("extra")
    @classmethod
    def _not_the_runs(cls, extra: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(set(extra) & OWN_FIELDS)
        if taken:
            raise ValueError(f"{taken[0]!r} is not for a dataset to say")
        return extra


class Partitions(Section):
    """What the dataset is divided into; each partition is run, kept and done again by itself."""

    by: Literal["none", "hourly", "daily", "weekly", "monthly", "keys"] = Field(
        "none", description="how; a week begins on Sunday"
    )
    start: date | None = Field(None, description="the first period; required for periods")
    timezone: str = Field("UTC", description="of periods and schedule, as in Europe/Berlin")
    include_current: bool = Field(
        False, description="whether the period that has not ended yet is one too"
    )
    keys: list[PartitionKey] = Field(default_factory=list, description="required `by: keys`")

    @field_validator("timezone")
    @classmethod
    def _known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"there is no time zone {timezone!r}") from error
        return timezone

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.is_periodic and self.start is None:
            raise ValueError(f"by: {self.by} needs `start`")
        if (self.by == "keys") != bool(self.keys):
            raise ValueError("`keys` and `by: keys` go together")
        if len(set(self.keys)) < len(self.keys):
            raise ValueError("keys must differ")
        return self

    @property
    def is_periodic(self) -> bool:
        """Whether partitions are periods of time."""
        return self.by not in ("none", "keys")


class Schedule(Section):
    """When the dataset's partitions are looked at.

    A partition is asked for when its source is there and was written since a run read it for the
    output. What a query finds has no age: a period is then done once, and without periods every
    tick does it again.
    """

    cron: str = Field(description="five fields, as in `*/5 * * * *`")
    latest: int = Field(1, ge=1, description="periods looked at, counted back from the latest")

    @field_validator("cron")
    @classmethod
    def _understood(cls, cron: str) -> str:
        if not is_valid_cron_string(cron):
            raise ValueError("not a cron expression that Dagster understands")
        return cron


class Output(Section):
    """Where answers go, one row for each row of the source, in its order."""

    path: str | None = Field(
        None,
        description="with placeholders; `.parquet` or `.jsonl`; absolute, or relative to the "
        "dataset file, and none of the files of `source.path`; absent: "
        "`{state}/datasets/{name}/{partition}.parquet`",
    )
    columns: list[ColumnName] = Field(
        default_factory=list,
        description="columns of the source that are written beside the answers",
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.path is not None:
            check_pattern(self.path)
            if Path(self.path).suffix not in (".parquet", ".jsonl"):
                raise ValueError(f"path: {self.path!r} does not end in .parquet or .jsonl")
        taken = sorted(set(self.columns) & set(ANSWER_COLUMNS))
        if taken:
            raise ValueError(f"columns: {taken[0]!r} is a column of the answers")
        return self


class Retries(Section):
    """What is tried again."""

    errors: int = Field(0, ge=0, description="rounds in which a run asks again for failed rows")
    runs: int = Field(
        3,
        ge=1,
        description="failed runs of the schedule for one version of a source, then it stops",
    )


class Freshness(Section):
    """How old the latest output may be before Dagster says so."""

    within_h: float = Field(ge=0.1, le=LONGEST_FRESH_H, description="older: it fails")
    warn_after_h: float | None = Field(
        None, ge=0.1, le=LONGEST_FRESH_H, description="older: a warning"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.warn_after_h is not None and self.warn_after_h >= self.within_h:
            raise ValueError("warn_after_h must be below within_h")
        return self


class Checks(Section):
    """What is checked of every output, beside that every row is accounted for."""

    max_error_rate: float | None = Field(
        None, ge=0, le=1, description="share of rows that may end with an error"
    )
    min_rows: int | None = Field(None, ge=0, description="of the source")
    max_rows: int | None = Field(None, ge=0, description="of the source")
    answer_schema: dict[str, Any] | None = Field(
        None,
        description="JSON Schema that every answer must follow; absent: `sampling.response_schema`",
    )


class Dataset(Section):
    """A validated dataset file. Its name is the file's."""

    description: str = Field("", description="what it is, for the pages")
    source: Source = Field(description="where rows come from")
    template: Template = Field(description="how a row becomes a request")
    model: str | None = Field(None, description="of the fleet file; absent: the first one there")
    sampling: Sampling = Field(Sampling(), description="how tokens are chosen")
    overrides: list[Setting] = Field(
        default_factory=list,
        description="settings that a column of the same name stands in for, where it is not null",
    )
    partitions: Partitions = Field(Partitions(), description="what it is divided into")
    schedule: Schedule | None = Field(None, description="when; absent: by hand")
    output: Output = Field(Output(), description="where answers go")
    due_h: float | None = Field(
        None,
        gt=0,
        description="a run ends after so long, with what is done kept; towards it, requests become "
        "urgent; absent: it waits as long as it takes",
    )
    retries: Retries = Field(Retries(), description="what is tried again")
    freshness: Freshness | None = Field(None, description="how old the output may be")
    checks: Checks = Field(Checks(), description="what is checked")

    @model_validator(mode="after")
    def _patterns_fit(self) -> Self:
        patterns = {"output.path": self.output.path}
        if isinstance(self.source, FileSource):
            patterns["source.path"] = self.source.path
        for key, pattern in patterns.items():
            if pattern is not None:
                check_pattern(pattern, partitions=self.partitions.by, where=key)
        divided = self.partitions.by != "none"
        if divided and self.output.path is not None and not names_a_partition(self.output.path):
            raise ValueError("output.path: it needs {partition}, or partitions share one file")
        return self

    @property
    def answer_schema(self) -> dict[str, Any] | None:
        """What answers are checked against."""
        return self.checks.answer_schema or self.sampling.response_schema
