"""Hotswaps and restarts of an engine host as its clients see them, over fake engines."""

from typing import Any

import pytest

from serving.errors import HostUnreachable, PlanRefused
from serving.wire import (
    Failed,
    Finished,
    HandedBack,
)
from tests.engine.asking import read, state, swap
from tests.fakes.host import FakeHost, wait_until


def test_a_hotswap_changes_the_awake_model_and_reports_its_phases(host: FakeHost) -> None:
    report = swap(host, "b", 1)
    assert (report.outcome, report.from_model, report.from_tier) == ("committed", "a", "disk")
    assert list(report.phases_s) == ["hand_back", "sleep", "wake", "canary"]
    assert host.engines.awake() == ["b"]
    now = state(host)
    assert (now.awake_model, now.plan_id, now.tiers) == ("b", 1, {"a": "asleep", "b": "awake"})
    assert read(host, "r", "b").end() == Finished("length")


def test_a_hotswap_hands_back_what_runs_and_waits(host: FakeHost) -> None:
    host.engines.gate.close()
    running = [read(host, f"r{i}").until(lambda r: r.admitted) for i in range(4)]
    waiting = read(host, "w")
    wait_until(lambda: state(host).waiting.interactive == 1)
    assert swap(host, "b", 1).handed_back == 5
    assert [r.end() for r in (*running, waiting)] == [HandedBack("hotswap")] * 5


def test_a_repeated_command_is_answered_with_the_recorded_report(host: FakeHost) -> None:
    first = swap(host, "b", 1)
    steps = list(host.engines.log)
    assert swap(host, "b", 1) == first
    assert host.engines.log == steps


def test_a_stale_plan_is_refused_and_so_is_the_same_plan_with_another_model(
    host: FakeHost,
) -> None:
    swap(host, "b", 7)
    with pytest.raises(PlanRefused, match="plan 6 is older than plan 7"):
        swap(host, "a", 6)
    with pytest.raises(PlanRefused, match="was obeyed with 'b'"):
        swap(host, "a", 7)
    assert state(host).awake_model == "b"


def test_the_fence_and_the_report_survive_a_restart(host: FakeHost) -> None:
    report = swap(host, "b", 7)
    host.restart()
    assert state(host).plan_id == 7
    assert swap(host, "b", 7) == report
    with pytest.raises(PlanRefused, match="older"):
        swap(host, "a", 6)


def test_an_unexpected_awake_model_is_refused(host: FakeHost) -> None:
    with pytest.raises(PlanRefused, match="'a' is awake, not 'b'"):
        swap(host, "b", 1, expected_awake="b")
    assert state(host).plan_id == 0, "a refused plan is not obeyed"


def test_the_model_that_is_awake_already_is_left_as_it_is(host: FakeHost) -> None:
    assert swap(host, "a", 3).outcome == "unchanged"
    assert state(host).plan_id == 3


@pytest.mark.parametrize("step", ["start", "canary"])
def test_a_model_that_does_not_come_up_is_rolled_back(host: FakeHost, step: Any) -> None:
    host.engines.fail_next["b", step] = "out of memory"
    report = swap(host, "b", 1)
    assert report.outcome == "rolled_back"
    assert "out of memory" in (report.error or "")
    assert state(host).awake_model == "a"
    assert host.engines.awake() == ["a"]
    assert read(host, "r").end() == Finished("length")


def test_when_nothing_comes_up_the_host_is_failed_says_why_and_recovers(host: FakeHost) -> None:
    host.engines.fail_next["b", "start"] = "b is broken"
    host.engines.fail_always["a", "wake"] = "a is broken too"
    report = swap(host, "b", 1)
    assert report.outcome == "failed"
    assert "b is broken" in (report.error or "")
    assert "a is broken too" in (report.error or "")
    wait_until(host.serves)  # a's engine was stopped, and a fresh start of it works
    assert state(host).awake_model == "a"


def test_an_engine_that_dies_is_started_again_and_the_host_stays_up(host: FakeHost) -> None:
    host.engines.gate.close()
    running = read(host, "r").until(lambda r: r.admitted)
    boot_id = state(host).boot_id
    host.engines.kill("a")
    frame = running.end()
    assert isinstance(frame, Failed)
    assert frame.retryable
    wait_until(host.serves)
    assert state(host).boot_id == boot_id
    host.engines.gate.open()
    assert read(host, "again").end() == Finished("length")


def test_a_host_that_is_killed_resets_its_connections(host: FakeHost) -> None:
    host.engines.gate.close()
    reader = read(host, "r").until(lambda r: r.admitted)
    host.kill()
    reader.until(lambda r: r.error is not None)
    with host.client() as client, pytest.raises(HostUnreachable):
        client.state()


def test_a_host_that_is_stopped_hands_its_work_back(host: FakeHost) -> None:
    host.engines.gate.close()
    reader = read(host, "r").until(lambda r: r.admitted)
    host.stop()
    assert reader.end() == HandedBack("shutdown")
    assert host.engines.alive == {}
