"""How long a new batch will take, behind the batches of its model that have not ended. Pure."""

from collections.abc import Callable, Iterable

from serving.batches import BatchRecord, InputSize
from serving.gateway.lines.work import Duration, Volume

ModelDuration = Callable[[str, Volume], Duration]
"""How long so much work of a model takes with nothing before it."""


def expected_duration(
    size: InputSize, others: Iterable[BatchRecord], duration: ModelDuration
) -> Duration:
    """The likely end counts what is left of `others`; the least does not: they may be cancelled."""
    alone = duration(size.model, _volume(size))
    ahead_s = sum(_left_s(other, duration) for other in others if other.model == size.model)
    return Duration(alone.likely_s + ahead_s, alone.least_s)


def _left_s(other: BatchRecord, duration: ModelDuration) -> float:
    if other.size is None or other.status == "cancelling":
        return 0.0
    left = 1 - (other.completed + other.failed) / other.lines
    return left * duration(other.size.model, _volume(other.size)).likely_s


def _volume(size: InputSize) -> Volume:
    return Volume.of_text(size.lines, size.body_bytes, size.max_output_tokens, size.unbounded_lines)
