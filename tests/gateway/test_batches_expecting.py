"""How long a new batch is expected to take."""

import msgspec
import pytest

from serving.batches import BatchRecord, CancelAsked, InputSize, Progress, Usage, Validated, after
from serving.gateway.batches.expecting import expected_duration
from serving.gateway.lines.work import Duration, Volume
from tests.batches.samples import NOW, batch_record

SIZE = InputSize(model="small", lines=10, body_bytes=0, max_output_tokens=0, unbounded_lines=10)


def ten_seconds_a_line(_model: str, volume: Volume) -> Duration:
    return Duration(likely_s=10.0 * volume.lines, least_s=1.0 * volume.lines)


def other(done: int = 0, model: str = "small") -> BatchRecord:
    size = msgspec.structs.replace(SIZE, model=model)
    record = after(batch_record(), Validated(model, 10, size), NOW)
    return after(record, Progress(completed=done, failed=0, usage=Usage()), NOW)


@pytest.mark.parametrize(
    ("others", "likely_s"),
    [
        ([], 100.0),
        ([other()], 200.0),
        ([other(done=5), other(done=10)], 150.0),
        ([other(model="large")], 100.0),
        ([after(other(), CancelAsked(), NOW)], 100.0),
        ([batch_record()], 100.0),
    ],
)
def test_a_batch_is_likely_to_wait_for_what_is_left_of_others_of_its_model(
    others: list[BatchRecord], likely_s: float
) -> None:
    expected = expected_duration(SIZE, others, ten_seconds_a_line)

    assert (expected.likely_s, expected.least_s) == (likely_s, 10.0)
