"""The prompts: from a file of a real set, else made here from a seed.

A file is JSONL, one question a line, as MT-bench (`turns`), GSM8K (`question`) or plain (`prompt`).
Of a conversation only the first turn is asked.
"""

import random
from pathlib import Path

import msgspec

from benchmarks.setting import BenchmarkUnable

LONGEST_CHARACTERS = 1500
"""Longer ones are left out: they would not fit a short context with their answer."""
_MADE = 400
_TASKS = (
    "Explain in plain words, for somebody who has never seen one, how {thing} works",
    "Write a short story in which {thing} changes the life of {person}",
    "List the things that {person} should check before buying {thing}",
    "Compare {thing} of a hundred years ago with one of today",
    "Write a letter in which {person} complains about {thing}",
    "A shop sells {thing} for {number} coins and takes a tenth off for every second one",
)
_THINGS = (
    "a lighthouse", "a printing press", "a water mill", "a telephone exchange", "a sailing boat",
    "a clock tower", "a steam engine", "a greenhouse", "a weather station", "a cable car",
)  # fmt: skip
_PEOPLE = ("a retired teacher", "a young baker", "a ship's doctor", "two sisters", "a night guard")
_DETAILS = (
    "Think about it step by step and give the reasons for each step before the conclusion.",
    "Name at least five details, and say of each why it matters and to whom.",
    "Begin with a summary of one sentence, then go on with everything that belongs to it.",
    "Keep to a friendly tone, avoid technical terms, and use examples from everyday life.",
    "Mention the costs, the dangers, the weather, and what the neighbours say about it.",
    "Do not use any list; write whole paragraphs, and end with an open question.",
)


class _Line(msgspec.Struct):
    turns: list[str] = []
    question: str | None = None
    prompt: str | None = None

    def text(self) -> str | None:
        return self.turns[0] if self.turns else self.question or self.prompt


def prompts_of(file: Path | None, seed: int) -> list[str]:
    """Those of `file`, else made ones; in an order that only `seed` decides."""
    texts = _made(seed) if file is None else _read(file)
    random.Random(seed).shuffle(texts)  # noqa: S311 - a reproducible order, no secret
    return texts


def _read(file: Path) -> list[str]:
    try:
        lines = [msgspec.json.decode(line, type=_Line) for line in file.read_bytes().splitlines()]
    except (OSError, msgspec.MsgspecError) as error:
        raise BenchmarkUnable(
            f"its prompts cannot be read: {error}",
            where=str(file),
            fix="Give JSON lines, each with `turns`, `question` or `prompt`.",
        ) from error
    texts = [text for line in lines if (text := line.text())]
    fitting = [text for text in texts if len(text) <= LONGEST_CHARACTERS]
    if not fitting:
        raise BenchmarkUnable(
            f"it has no prompt of at most {LONGEST_CHARACTERS} characters",
            where=str(file),
            fix="Give JSON lines, each with `turns`, `question` or `prompt`.",
        )
    return fitting


def _made(seed: int) -> list[str]:
    """Different from their first word on, of about 40 to 120 tokens."""
    choice = random.Random(seed)  # noqa: S311 - reproducible texts, no secret
    texts = []
    for number in range(_MADE):
        task = choice.choice(_TASKS).format(
            thing=choice.choice(_THINGS), person=choice.choice(_PEOPLE), number=number + 3
        )
        details = choice.sample(_DETAILS, choice.randint(1, 4))
        texts.append(f"Number {number}. {task}. {' '.join(details)}")
    return texts
