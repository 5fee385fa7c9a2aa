"""What is to go when: whatever batches and files there are."""

from hypothesis import given
from hypothesis import strategies as st

from serving.batches import TERMINAL, BatchRecord, FileRecord
from serving.batches.retention import Due, due
from tests.batches.samples import batch_record, file_record

NOW, RETENTION_S = 1000, 100
_TIMES = st.integers(NOW - 3 * RETENTION_S, NOW + RETENTION_S)
_STATUSES = st.sampled_from([*sorted(TERMINAL), "validating", "in_progress", "cancelling"])


@st.composite
def batches(draw: st.DrawFn) -> list[BatchRecord]:
    made = []
    for number in range(draw(st.integers(0, 5))):
        status = draw(_STATUSES)
        ended = {f"{status}_at": draw(_TIMES)} if status in TERMINAL else {}
        read = f"in-{draw(st.integers(0, 3))}"
        made.append(batch_record(f"batch_{number}", status=status, input_file_id=read, **ended))
    return made


@st.composite
def files(draw: st.DrawFn) -> list[FileRecord]:
    expiries = st.none() | _TIMES
    inputs = [file_record(f"in-{number}", expires_at=draw(expiries)) for number in range(4)]
    results = [
        file_record(
            f"out-{number}",
            purpose="batch_output",
            batch_id=f"batch_{number}",
            expires_at=draw(expiries),
        )
        for number in range(5)
    ]
    return inputs + results


def decided(batches: list[BatchRecord], files: list[FileRecord], now: float = NOW) -> Due:
    return due(batches, files, now=now, retention_s=RETENTION_S)


@given(batches(), files())
def test_nothing_of_a_batch_that_has_not_ended_goes(
    batches: list[BatchRecord], files: list[FileRecord]
) -> None:
    gone = decided(batches, files)

    for record in batches:
        if not record.is_terminal:
            wrote = {file.id for file in files if file.batch_id == record.id}
            assert record.id not in gone.batches
            assert not gone.files & (wrote | {record.input_file_id})


@given(batches(), files())
def test_a_batch_goes_when_it_ended_so_long_ago_and_no_sooner(
    batches: list[BatchRecord], files: list[FileRecord]
) -> None:
    ends = {record.id: record.ended_at for record in batches if record.ended_at is not None}

    old = {name for name, ended_at in ends.items() if NOW - ended_at >= RETENTION_S}

    assert decided(batches, files).batches == old


@given(batches(), files())
def test_a_file_goes_at_its_own_time_else_with_the_batch_that_wrote_it(
    batches: list[BatchRecord], files: list[FileRecord]
) -> None:
    gone = decided(batches, files)
    running = [record for record in batches if not record.is_terminal]
    used = {record.input_file_id for record in running}
    used |= {file.id for file in files if file.batch_id in {record.id for record in running}}

    for file in files:
        over = file.batch_id in gone.batches if file.expires_at is None else file.expires_at <= NOW
        assert (file.id in gone.files) == (over and file.id not in used)


@given(batches(), files())
def test_once_it_is_gone_nothing_more_is_due(
    batches: list[BatchRecord], files: list[FileRecord]
) -> None:
    gone = decided(batches, files)
    left = [record for record in batches if record.id not in gone.batches]
    kept = [file for file in files if file.id not in gone.files]

    assert decided(left, kept) == Due()


@given(batches(), files())
def test_in_the_end_nothing_is_left_of_what_has_ended(
    batches: list[BatchRecord], files: list[FileRecord]
) -> None:
    ended = [record for record in batches if record.is_terminal]

    gone = decided(ended, files, now=NOW + 10 * RETENTION_S)

    assert gone.batches == {record.id for record in ended}
    wrote = {file.id for file in files if file.batch_id in gone.batches}
    assert wrote <= gone.files
