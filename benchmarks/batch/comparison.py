"""Rows of result files, compared with those of an undisturbed run. Pure.

A result is the lines of a batch's output and error files together: every line of the input must be
in one of them, once, with the answer that it has when nothing disturbs it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    message: _Message | None = None
    text: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int | None = 0


class _Body(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage = msgspec.field(default_factory=_Usage)


class _Response(msgspec.Struct):
    body: _Body | None = None
    status_code: int = 200


class _Record(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: object | None = None


@dataclass(frozen=True)
class Answered:
    """What one row of a result says. Without ids and times, which always differ."""

    custom_id: str
    text: str | None
    finish_reason: str | None
    prompt_tokens: int
    output_tokens: int
    failed: str | None
    """The error in its place, as text."""


@dataclass(frozen=True)
class Differences:
    """What a disturbed result is short of, and has too much of; numbers of rows."""

    lost: int
    doubled: int
    changed: int

    def __add__(self, other: "Differences") -> "Differences":
        return Differences(
            self.lost + other.lost, self.doubled + other.doubled, self.changed + other.changed
        )


def read_rows(lines: Iterable[bytes]) -> list[Answered]:
    """The rows of result files, in their order. Raises msgspec.MsgspecError for other files."""
    return [_answered(msgspec.json.decode(line, type=_Record)) for line in lines if line.strip()]


def output_tokens(rows: Iterable[Answered]) -> int:
    """Tokens of all answers."""
    return sum(row.output_tokens for row in rows)


def compare(undisturbed: Mapping[str, Answered], rows: Iterable[Answered]) -> Differences:
    """`rows` against what each should be. A row that nobody asked for counts as doubled.

    Of a doubled row every copy is compared: a wrong copy does not hide behind a right one.
    """
    found = list(rows)
    copies = Counter(row.custom_id for row in found)
    return Differences(
        lost=sum(custom_id not in copies for custom_id in undisturbed),
        doubled=sum(number - (custom_id in undisturbed) for custom_id, number in copies.items()),
        changed=sum(
            row != undisturbed[row.custom_id] for row in found if row.custom_id in undisturbed
        ),
    )


def changes(undisturbed: Mapping[str, Answered], rows: Iterable[Answered]) -> list[str]:
    """For people: each changed row, and how it goes on from where it is another."""
    return [
        f"{row.custom_id} was {_parted(was, row)}, is {_parted(row, was)}"
        for row in rows
        if (was := undisturbed.get(row.custom_id)) is not None and row != was
    ]


def _parted(row: Answered, other: Answered) -> str:
    """What `row` says from a little before the two part."""
    if row.text is None:
        return f"{row.failed}"
    pairs = zip(row.text, other.text or "", strict=False)
    at = next((place for place, (one, two) in enumerate(pairs) if one != two), len(row.text))
    told = f"...{row.text[max(0, at - 20) : at + 40]!r} at character {at}"
    return f"{told}, {row.output_tokens} tokens, {row.finish_reason}"


def by_id(rows: Iterable[Answered]) -> dict[str, Answered]:
    """The rows by their custom id."""
    return {row.custom_id: row for row in rows}


def _answered(record: _Record) -> Answered:
    body = record.response.body if record.response is not None else None
    choice = body.choices[0] if body is not None and body.choices else None
    usage = body.usage if body is not None else _Usage()
    return Answered(
        custom_id=record.custom_id,
        text=None if choice is None else _text(choice),
        finish_reason=None if choice is None else choice.finish_reason,
        prompt_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens or 0,
        failed=_failure(record, choice),
    )


def _text(choice: _Choice) -> str | None:
    return choice.text if choice.message is None else choice.message.content


def _failure(record: _Record, choice: _Choice | None) -> str | None:
    if record.error is not None:
        return str(record.error)
    if choice is None:
        return "it has no answer"
    return None
