"""The life of a batch: which states follow which, whatever is said in whatever order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batches import (
    TERMINAL,
    BatchError,
    BatchEvent,
    BatchRecord,
    CancelAsked,
    Cancelled,
    Completed,
    Expired,
    Failed,
    Finalizing,
    IllegalTransition,
    Progress,
    Refused,
    Usage,
    Validated,
    after,
)
from tests.batches.samples import NOW, batch_record

FOLLOWS = {
    "validating": {"in_progress", "failed", "cancelling"},
    "in_progress": {"finalizing", "cancelling", "expired", "failed"},
    "finalizing": {"completed", "expired", "failed"},
    "cancelling": {"cancelled", "failed"},
}
LINES = 10
BAD = (BatchError(code="invalid_json_line", message="no JSON", line=1),)
FILES = ("file-out", None)

events = st.one_of(
    st.sampled_from(
        [
            Validated("small", LINES),
            Validated("small", 0),
            Refused(BAD),
            CancelAsked(),
            Finalizing(),
            Completed(*FILES),
            Cancelled(*FILES),
            Expired(*FILES),
            Failed(BAD),
        ]
    ),
    st.builds(
        Progress,
        completed=st.integers(0, LINES),
        failed=st.integers(0, LINES),
        usage=st.just(Usage(input_tokens=1)),
    ),
)


def happen(record: BatchRecord, *more: BatchEvent) -> BatchRecord:
    for event in more:
        record = after(record, event, NOW)
    return record


@given(st.lists(events, max_size=14))
def test_whatever_is_said_a_batch_takes_only_the_steps_of_the_published_diagram(
    said: list[BatchEvent],
) -> None:
    record = batch_record()
    for time, event in enumerate(said, start=NOW):
        try:
            changed = after(record, event, time)
        except IllegalTransition:
            continue
        if changed.status != record.status:
            assert changed.status in FOLLOWS[record.status]
            assert getattr(changed, f"{changed.status}_at") == time
        if record.status in TERMINAL:
            assert changed == record
        assert changed.completed + changed.failed <= changed.lines
        assert after(changed, event, time + 1) == changed, "said again, it changes nothing"
        record = changed


@given(st.lists(events, max_size=14))
def test_times_and_files_are_those_of_the_states_it_was_in(said: list[BatchEvent]) -> None:
    record, been = batch_record(), {"validating"}
    for event in said:
        try:
            record = after(record, event, NOW)
        except IllegalTransition:
            continue
        been.add(record.status)
    for status in set(FOLLOWS) | TERMINAL - {"validating"}:
        if status != "validating":
            assert (getattr(record, f"{status}_at") is not None) == (status in been)
    if record.output_file_id is not None:
        assert record.status in {"completed", "cancelled", "expired"}


def test_a_batch_that_is_cancelled_while_it_is_validated_can_still_be_accounted_for() -> None:
    record = happen(batch_record(), CancelAsked(), Validated("small", 3))

    assert (record.status, record.lines, record.model) == ("cancelling", 3, "small")
    assert happen(record, Cancelled("file-out", "file-err")).error_file_id == "file-err"


def test_a_bad_batch_that_is_cancelled_while_it_is_validated_ends_with_its_errors() -> None:
    record = happen(batch_record(), CancelAsked(), Refused(BAD))

    assert (record.status, record.errors) == ("cancelled", BAD)


def test_cancelling_comes_before_completing() -> None:
    record = happen(batch_record(), Validated("small", 3), CancelAsked())

    with pytest.raises(IllegalTransition, match=r"Finalizing cannot happen .* cancelling"):
        happen(record, Finalizing())


def test_a_batch_whose_files_are_being_written_cannot_be_cancelled() -> None:
    record = happen(batch_record(), Validated("small", 3), Finalizing())

    with pytest.raises(IllegalTransition):
        happen(record, CancelAsked())


def test_a_slow_second_validation_changes_nothing() -> None:
    record = happen(batch_record(), Validated("small", 3), Finalizing())

    assert happen(record, Validated("small", 3)) == record


def test_progress_beyond_the_input_is_refused() -> None:
    record = happen(batch_record(), Validated("small", 3))

    with pytest.raises(IllegalTransition):
        happen(record, Progress(completed=3, failed=1, usage=Usage()))
