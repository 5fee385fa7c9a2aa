import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from serving.config import StateFolder
from tests.fakes.host import fake_fleet
from turntable.demo import batch, failover
from turntable.demo.observation import NotObserved, Observation
from turntable.demo.outside import Outside
from turntable.demo.show import as_table, run_step, steps
from turntable.gateway import GatewayUnreachable


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    fleet = fake_fleet(["one"], {"host-0": "one"})
    return Outside(fleet, StateFolder(tmp_path), lambda _sentence: None)


def _run(step: object, outside: Outside) -> Observation:
    return run_step("a step", step, outside, Console(quiet=True))  # type: ignore[arg-type]


def test_a_step_that_saw_everything_is_observed(outside: Outside) -> None:
    observation = _run(lambda _outside, seen: seen.expect(True, "a fact"), outside)
    assert observation.observed
    assert observation.seen == ["a fact"]


def test_a_step_that_missed_something_is_not(outside: Outside) -> None:
    def step(_outside: Outside, observation: Observation) -> None:
        observation.note("one fact")
        observation.expect(False, "another fact")

    observation = _run(step, outside)
    assert not observation.observed
    assert observation.missing == ["another fact"]


def test_a_step_that_saw_nothing_is_not(outside: Outside) -> None:
    assert not _run(lambda _outside, _observation: None, outside).observed


def test_waiting_in_vain_is_something_missing_and_the_table_says_so(outside: Outside) -> None:
    def step(there: Outside, _observation: Observation) -> None:
        there.wait_for("rain", lambda: None, timeout_s=0.0)

    observation = _run(step, outside)
    assert not observation.observed
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(as_table([observation]))
    shown = console.export_text()
    assert "NO" in shown
    assert "rain" in shown


def test_an_instance_that_is_away_is_something_missing(outside: Outside) -> None:
    observation = _run(lambda there, _observation: there.hosts(), outside)
    assert "gateway" in observation.missing[0]


def test_what_is_found_is_returned(outside: Outside) -> None:
    answers = iter([None, 7])
    assert outside.wait_for("seven", lambda: next(answers), timeout_s=60) == 7
    with pytest.raises(NotObserved):
        outside.wait_for("nothing", lambda: None, timeout_s=0.0)


def test_a_part_that_does_not_answer_for_once_is_asked_again(outside: Outside) -> None:
    answers = iter([GatewayUnreachable("away", where="there", fix="wait"), 7])

    def look() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert outside.wait_for("seven", look, timeout_s=60) == 7


def test_waiting_in_vain_says_what_was_wrong_last(outside: Outside) -> None:
    with pytest.raises(NotObserved, match="the gateway does not answer"):
        outside.wait_for("a host", outside.hosts, timeout_s=0.0)


def test_a_stream_that_had_ended_when_its_host_was_killed_is_tried_again(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts, awaited = iter([1, 2]), list[str]()

    def stream(*_: object, on_middle: Callable[[], None] = lambda: None) -> failover.Stream:
        on_middle()
        return failover.Stream("a text", 0.5)

    monkeypatch.setattr(failover, "_stream", stream)
    monkeypatch.setattr(failover, "_kill", lambda _o, _model, killed: killed.append("host-0"))
    monkeypatch.setattr(failover, "_attempts", lambda *_: next(attempts))
    monkeypatch.setattr(failover, "_await_serving", lambda _outside, host: awaited.append(host))

    observation = _run(failover.show_failover, outside)

    assert observation.observed
    assert awaited == ["host-0", "host-0"]
    assert next(attempts, None) is None


def test_a_batch_that_ended_before_it_had_to_make_room_is_followed_by_a_larger_one(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[int] = []

    def launch(_outside: Outside, model: str, rows: int) -> batch.Batch:
        launched.append(rows)
        return batch.Batch(model, "2026-01-01", rows, "a run", 0.0)

    def evicted(_outside: Outside, launched: batch.Batch) -> object:
        return {"kept_tokens": 9} if launched.rows == batch.ROWS[1] else None

    monkeypatch.setattr(batch, "_launched", launch)
    monkeypatch.setattr(batch, "_generated", lambda *_: 0)
    monkeypatch.setattr(batch, "_ended_run", lambda *_: {"status": "SUCCESS"})
    monkeypatch.setattr(batch, "_evicted", evicted)

    assert batch.launched_and_evicted(outside).rows == batch.ROWS[1]
    assert launched == list(batch.ROWS[:2])


def test_what_is_shown_of_a_traffic_shift_is_what_the_fleet_does() -> None:
    shared = fake_fleet(["one", "two"], {"host-0": "one"})
    dedicated = fake_fleet(["one", "two"], {"host-0": "one"}, allocation={"time_sharing": False})
    assert "traffic shifts, a shared host switches" in steps(shared)
    assert "traffic shifts, a hotswap follows" in steps(dedicated)
