"""What the sensor does about a batch, given its runs."""

from msgspec.structs import replace

from orchestration.batch.answering import report_pause_s, why_stop
from orchestration.batch.attempts import (
    FREE_RUNS,
    FRUITLESS_RUNS,
    LONGEST_PAUSE_S,
    START_S,
    Attempt,
    Bury,
    Cancel,
    GiveUp,
    Start,
    Wait,
    next_step,
    pause_s,
)
from orchestration.batch.results import Accounting
from orchestration.batch.words import duration
from serving.batches import BatchRecord

OPEN = BatchRecord(
    id="batch_1",
    account="",
    input_file_id="file-1",
    endpoint="/v1/completions",
    completion_window="24h",
    created_at=0,
    expires_at=86_400,
    status="in_progress",
    model="a",
    lines=10,
    completed=4,
)
DIED = Attempt(run_id="died", state="ended", ended_s=1000, done_before=4)


def test_a_batch_without_a_run_gets_one() -> None:
    assert next_step(OPEN, [], claimed=False) == Start("")


def test_a_cancelled_or_finalizing_batch_without_a_run_gets_one_that_ends_it() -> None:
    for status in ("cancelling", "finalizing"):
        assert next_step(replace(OPEN, status=status), [DIED], claimed=False) == Start("died")


def test_nothing_is_asked_for_beside_a_run() -> None:
    for attempt in (
        Attempt(run_id="1", state="queued", started_s=10_000),
        Attempt(run_id="1", state="started", started_s=START_S / 2),
    ):
        assert isinstance(next_step(OPEN, [attempt], claimed=False), Wait)
    long_going = Attempt(run_id="1", state="started", started_s=10_000)
    assert isinstance(next_step(OPEN, [long_going], claimed=True), Wait)
    assert isinstance(next_step(OPEN, [DIED], claimed=True), Wait)


def test_a_started_run_that_nobody_works_for_is_dead() -> None:
    gone = Attempt(run_id="gone", state="started", started_s=START_S)

    assert next_step(OPEN, [gone], claimed=False) == Bury("gone")


def test_a_run_that_died_is_followed_by_another() -> None:
    assert next_step(OPEN, [DIED], claimed=False) == Start("died")


def test_a_run_terminated_by_a_person_cancels_the_batch_once() -> None:
    terminated = Attempt(run_id="1", state="terminated")

    assert next_step(OPEN, [terminated, DIED], claimed=False) == Cancel()
    cancelling = replace(OPEN, status="cancelling")
    assert next_step(cancelling, [terminated], claimed=False) == Start("1")


def test_runs_that_get_something_done_are_never_too_many() -> None:
    attempts = [replace(DIED, done_before=done) for done in (3, 2, 1, 0) for _ in range(9)]

    assert next_step(OPEN, attempts, claimed=False) == Start("died")


def test_runs_that_get_nothing_done_come_ever_more_rarely_and_then_no_more() -> None:
    few = [replace(DIED, ended_s=1.0)] * (FREE_RUNS - 1)
    assert next_step(OPEN, few, claimed=False) == Start("died")
    assert isinstance(next_step(OPEN, [*few, DIED], claimed=False), Wait)
    assert next_step(OPEN, [DIED] * FREE_RUNS, claimed=False) == Start("died")
    assert next_step(OPEN, [DIED] * FRUITLESS_RUNS, claimed=False) == GiveUp("died")
    pauses = [pause_s(runs) for runs in range(FRUITLESS_RUNS)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0, LONGEST_PAUSE_S)


def test_lines_go_on_until_the_batch_is_cancelled_or_its_window_is_over() -> None:
    assert why_stop(OPEN, 86_399) is None
    assert why_stop(OPEN, 86_400) == "expired"
    assert why_stop(replace(OPEN, status="cancelling"), 0) == "cancelled"


def test_reports_of_a_long_run_are_few() -> None:
    reports, elapsed_s = 0, 0.0
    while elapsed_s < 86_400:
        elapsed_s += report_pause_s(elapsed_s)
        reports += 1

    assert report_pause_s(0) == 10
    assert reports < 250


def test_an_accounting_is_whole_with_one_record_a_line() -> None:
    assert Accounting(output=8, errors=2, doubled=0).is_whole(10)
    assert not Accounting(output=8, errors=1, doubled=0).is_whole(10)
    assert not Accounting(output=8, errors=2, doubled=1).is_whole(10)


def test_durations_are_said_as_people_say_them() -> None:
    assert [duration(s) for s in (5, 600, 36_000)] == ["5 s", "10 min", "10.0 h"]
