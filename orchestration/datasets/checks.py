"""What is checked of an output: rows, errors, and what answers look like. Without Dagster."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from orchestration.datasets.declaration import Dataset
from orchestration.datasets.sources import Rows

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

ROWS = "every_row_accounted_for"
ERRORS = "errors_within_bound"
COUNT = "row_count_within_bounds"
ANSWERS = "answers_follow_their_schema"
SAMPLES = 5


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found."""

    passed: bool
    found: dict[str, Any]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A check of a dataset's outputs."""

    name: str
    description: str
    look: Callable[[Rows, pl.DataFrame], Verdict]
    """At what was asked for, and the output."""


def checks_of(declared: Dataset) -> list[Check]:
    """The checks that a dataset has."""
    told, schema = declared.checks, declared.answer_schema
    found = [
        Check(
            name=ROWS,
            description="Every row of the source has exactly one row in the output, and no other.",
            look=account_for_rows,
        )
    ]
    if told.max_error_rate is not None:
        most = told.max_error_rate
        found.append(
            Check(
                name=ERRORS,
                description=f"At most {most:.2%} of the rows ended with an error.",
                look=lambda _, output: bound_errors(output, most),
            )
        )
    if told.min_rows is not None or told.max_rows is not None:
        found.append(
            Check(
                name=COUNT,
                description=f"The source has from {told.min_rows or 0} to "
                f"{'any number of' if told.max_rows is None else told.max_rows} rows.",
                look=lambda rows, _: bound_rows(rows, told.min_rows, told.max_rows),
            )
        )
    if schema is not None:
        found.append(
            Check(
                name=ANSWERS,
                description="Every answer is JSON that follows the schema of the dataset's file.",
                look=lambda _, output: follow_schema(output, schema),
            )
        )
    return found


def account_for_rows(rows: Rows, output: pl.DataFrame) -> Verdict:
    """Compare what was asked for with what was written, row by row."""
    asked = rows.ids.to_frame("id")
    missing = asked.join(output, on="id", how="anti").height
    surplus = output.join(asked, on="id", how="anti").height
    doubled = output.height - output["id"].n_unique()
    empty = output.filter(pl.col("error").is_null() & pl.col("completion").is_null()).height
    return Verdict(
        passed=not (missing or surplus or doubled),
        found={
            "rows asked for": asked.height,
            "completions": output.height,
            "missing": missing,
            "not asked for": surplus,
            "more than once": doubled,
            "without text": empty,
        },
    )


def bound_errors(output: pl.DataFrame, most: float) -> Verdict:
    """See that few rows ended with an error."""
    failed = output.filter(pl.col("error").is_not_null())
    rate = failed.height / output.height if output.height else 0.0
    return Verdict(
        passed=rate <= most,
        found={
            "errors": failed.height,
            "error rate": round(rate, 6),
            "at most": most,
            "such as": "; ".join(failed["error"].unique(maintain_order=True).head(SAMPLES)) or "-",
        },
    )


def bound_rows(rows: Rows, least: int | None, most: int | None) -> Verdict:
    """See that the source has a plausible size."""
    count = rows.ids.len()
    return Verdict(
        passed=(least is None or count >= least) and (most is None or count <= most),
        found={"rows": count},
    )


def follow_schema(output: pl.DataFrame, schema: dict[str, Any]) -> Verdict:
    """See that answers look as they should; rows with an error have none."""
    from jsonschema import Draft202012Validator  # when it is needed: every run imports this module

    validator = Draft202012Validator(schema)
    answered = output.filter(pl.col("error").is_null())
    wrong = []
    for name, completion in answered.select("id", "completion").iter_rows():
        why = _departure(validator, completion)
        if why is not None:
            wrong.append(f"{name}: {why}")
    return Verdict(
        passed=not wrong,
        found={
            "answers": answered.height,
            "wrong": len(wrong),
            "such as": "; ".join(wrong[:SAMPLES]) or "-",
        },
    )


def _departure(validator: "Validator", completion: str | None) -> str | None:
    """Why an answer does not follow the schema; None if it does."""
    from jsonschema.exceptions import best_match

    try:
        value = msgspec.json.decode(completion or "")
    except msgspec.DecodeError as error:
        return f"not JSON: {error}"
    worst = best_match(validator.iter_errors(value))
    return None if worst is None else str(worst.message)
