"""What is told of a run: rates, its end, its curve."""

import pytest

from orchestration.batch.asks import Outcome
from orchestration.batch.progress import Course, Progress


def test_rates_and_the_end_are_of_the_last_minute() -> None:
    progress = Progress(1000, now=0.0)
    progress.found(100, 0, Outcome(key=0, custom_id="").tokens)
    for second in range(200):
        progress.tick(float(second))
        for _ in range(1 if second < 100 else 2):
            progress.came(Outcome(key=0, custom_id="", status=200), float(second))

    figures = progress.figures(200.0)

    assert figures.done == 400
    assert figures.rows_per_s == pytest.approx(2.0, rel=0.05)
    assert figures.left_s == pytest.approx(300, rel=0.05)


def test_goes_at_the_same_rows_are_told_as_one_run() -> None:
    def a_go(done_before: int, seconds: float) -> Course:
        progress = Progress(10, now=0.0)
        progress.found(done_before, 0, Outcome(key=0, custom_id="").tokens)
        progress.tick(0.0)
        progress.came(Outcome(key=0, custom_id="", status=200), seconds)
        progress.ended(seconds)
        return Course(figures=progress.figures(seconds), curve=progress.curve)

    whole = a_go(3, 5.0).then(a_go(9, 2.0))

    assert (whole.figures.done_before, whole.figures.done, whole.figures.seconds) == (3, 10, 7.0)
    assert [(point.seconds, point.rows) for point in whole.curve] == [
        (0.0, 3),
        (5.0, 4),
        (5.0, 9),
        (7.0, 10),
    ]


def test_a_row_takes_as_long_as_the_last_ones_did_and_at_first_as_long_as_was_waited() -> None:
    progress = Progress(1000, now=0.0)
    assert progress.row_s(7.0) == 7.0

    for _ in range(10):
        progress.came(Outcome(key=0, custom_id="", status=200, seconds=4.0), 8.0)
    assert progress.row_s(100.0) == pytest.approx(4.0)
    for _ in range(300):
        progress.came(Outcome(key=0, custom_id="", status=200, seconds=2.0), 8.0)
    assert progress.row_s(100.0) == pytest.approx(2.0, rel=0.05)


def test_the_curve_of_a_long_run_stays_short() -> None:
    progress = Progress(10, now=0.0)
    for second in range(100_000):
        progress.tick(float(second))

    assert 100 <= len(progress.curve) <= 240
    assert progress.curve[-1].seconds >= 99_000
