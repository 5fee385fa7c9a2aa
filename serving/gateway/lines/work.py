"""How much work requests are, in one unit for prompts and answers, and how long it takes. Pure."""

from dataclasses import dataclass

PROMPT_TOKEN_WORK = 1 / 3
"""A prompt token beside a full batch, in output tokens: docs/coserving.md measured 0.65 ms to
about 1.8 ms. On accelerators a full batch's ratio is of the same size."""
BYTES_PER_TOKEN = 4.0
"""Of JSON text, where nothing has been counted."""
ANSWER_TOKENS = 256.0
"""Of a request that bounds its answer nowhere, while none of the model's has ended."""


def work_tokens(prompt_tokens: float, output_tokens: float) -> float:
    """Work in output tokens."""
    return PROMPT_TOKEN_WORK * prompt_tokens + output_tokens


@dataclass(frozen=True)
class Volume:
    """What a number of lines asks for, as far as it shows before they run."""

    lines: int
    prompt_tokens: float
    most_output_tokens: int
    """Sum over the lines that bound their answers."""
    unbounded_lines: int = 0

    @classmethod
    def of_text(
        cls, lines: int, body_bytes: int, most_output_tokens: int, unbounded_lines: int
    ) -> "Volume":
        """Of lines whose prompts were not tokenized."""
        return cls(lines, body_bytes / BYTES_PER_TOKEN, most_output_tokens, unbounded_lines)


@dataclass(frozen=True)
class Speed:
    """How fast a model's batch work goes, as far as it is known."""

    replicas: int
    """That serve the model now."""
    most_replicas: int
    """That could ever serve it at once."""
    work_tokens_per_s: float
    """Of one replica, of late or as expected."""
    most_work_tokens_per_s: float | None = None
    """Of one replica with nothing but batch work; None: never measured."""
    mean_output_tokens: float | None = None
    """Of a batch request of the model; None: none has ended."""


@dataclass(frozen=True)
class Duration:
    """How long a volume takes."""

    likely_s: float
    least_s: float
    """No sooner than this, whatever happens: with every host, and answers of one token. 0: nothing
    is known that would bound it."""


def duration(volume: Volume, speed: Speed, *, ahead: float = 0.0) -> Duration:
    """How long `volume` takes behind `ahead` (work tokens) of other batches."""
    work = work_tokens(volume.prompt_tokens, _likely_output(volume, speed))
    rate = max(1, speed.replicas) * speed.work_tokens_per_s
    likely_s = (ahead + work) / rate
    if speed.most_work_tokens_per_s is None:
        return Duration(likely_s, 0.0)
    most = max(speed.most_work_tokens_per_s, speed.work_tokens_per_s)
    least_work = work_tokens(volume.prompt_tokens, volume.lines)
    least_s = least_work / (max(1, speed.replicas, speed.most_replicas) * most)
    return Duration(max(likely_s, least_s), least_s)


def _likely_output(volume: Volume, speed: Speed) -> float:
    bounded = volume.lines - volume.unbounded_lines
    if speed.mean_output_tokens is None:
        return volume.most_output_tokens + volume.unbounded_lines * ANSWER_TOKENS
    seen = min(bounded * speed.mean_output_tokens, float(volume.most_output_tokens))
    return seen + volume.unbounded_lines * speed.mean_output_tokens
