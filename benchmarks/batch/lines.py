"""The files that are submitted: JSON lines of requests, made from a seed. Pure, but for writing.

Answers have a fixed length (`ignore_eos`), so every arm generates the same number of tokens.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

_PADDING = "x" * 300
_DOCUMENT_CHARACTERS = 1800


class Line(msgspec.Struct, frozen=True):
    """One line of an input file."""

    custom_id: str
    url: str
    body: dict[str, object]
    method: str = "POST"


def chat_lines(
    model: str, texts: Sequence[str], number: int, tokens: tuple[int, int], *, first: int = 0
) -> Iterator[Line]:
    """`number` chat requests, their answers between the two of `tokens` long.

    Questions are numbered from `first` and begin with their number: files with numbers of their own
    share no prefix but that of the chat template. Lengths are the same in all files.
    """
    choice = random.Random(number)  # noqa: S311 - reproducible lengths, no secret
    for place in range(number):
        length = choice.randint(*tokens)
        question = f"{first + place} is the number of this. {texts[place % len(texts)]}"
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": length,
            "temperature": 0,
            "ignore_eos": True,
        }
        yield Line(f"row-{place}", "/v1/chat/completions", body)


def document_lines(
    model: str, texts: Sequence[str], documents: int, questions: int, tokens: int
) -> Iterator[Line]:
    """Chat requests that begin with one of so many documents, as many of each, in random order.

    A document is texts put together, about `_DOCUMENT_CHARACTERS` long, and begins with its number.
    """
    choice = random.Random(documents)  # noqa: S311 - a reproducible order, no secret
    read = [_document(number, texts, choice) for number in range(documents)]
    asked = [(document, number) for document in range(documents) for number in range(questions)]
    choice.shuffle(asked)
    for place, (document, number) in enumerate(asked):
        body = {
            "model": model,
            "messages": [{"role": "user", "content": f"{read[document]} Question {number}?"}],
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
        }
        yield Line(f"row-{place}", "/v1/chat/completions", body)


def _document(number: int, texts: Sequence[str], choice: random.Random) -> str:
    document = f"Document {number}."
    while len(document) < _DOCUMENT_CHARACTERS:
        document += " " + choice.choice(texts)
    return document[:_DOCUMENT_CHARACTERS]


def short_lines(model: str, number: int) -> Iterator[Line]:
    """`number` completions of one token, each line as long as one of a real file."""
    for place in range(number):
        body = {
            "model": model,
            "prompt": f"Line {place}",
            "max_tokens": 1,
            "temperature": 0,
            "ignore_eos": True,
            "user": _PADDING,
        }
        yield Line(f"row-{place}", "/v1/completions", body)


def write_lines(lines: Iterator[Line], path: Path) -> Path:
    """Write them to `path`, a few at a time; the path."""
    with path.open("wb") as file:
        while chunk := list(islice(lines, 1000)):
            file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in chunk))
    return path
