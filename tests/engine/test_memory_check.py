"""What engines hold is measured when they have woken and when they have been put to sleep."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.config import StateFolder
from serving.engine.assembly import HostOptions
from serving.engine.decisions.holdings import TOLERANCE_BYTES, Holdings
from tests.engine.asking import state, swap
from tests.fakes.host import FakeHost, fake_fleet, running_host, wait_until

GIB = 1024**3
OPTIONS = HostOptions(prewarm_after_s=None, drain_s=0.2, sample_s=0.05)


@pytest.fixture(params=[1, 100], ids=["sleep_first", "wake_first"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeHost]:
    """A host that serves a and has b asleep, both of 2 GiB; the next plan is 3."""
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    settings = fleet.hosts[0].model_copy(update={"device_memory_gib": request.param})
    fleet = fleet.model_copy(update={"hosts": [settings]})
    with running_host(fleet, StateFolder(tmp_path), "host-0", options=OPTIONS) as running:
        running.engines.asleep_bytes |= {"a": 2 * GIB, "b": 2 * GIB}
        for plan_id, model in ((1, "b"), (2, "a")):
            wait_until(lambda: state(running).engine_bytes.get("a") == 2 * GIB)
            assert swap(running, model, plan_id).outcome == "committed"
        wait_until(lambda: state(running).engine_bytes == {"a": 2 * GIB, "b": 2 * GIB})
        yield running


def test_a_model_that_wakes_larger_than_it_should_is_rolled_back_with_the_figure(
    host: FakeHost,
) -> None:
    host.engines.holds["b", "awake"] = 8 * GIB
    report = swap(host, "b", 3)
    assert report.outcome == "rolled_back"
    assert "canary of b failed" in (report.error or "")
    assert "it holds 8.00 GiB, at most " in (report.error or "")
    assert state(host).awake_model == "a"
    assert host.serves()


def test_an_engine_that_sleeps_without_freeing_its_memory_is_stopped_and_named(
    host: FakeHost,
) -> None:
    host.engines.holds["a", "asleep"] = 8 * GIB
    report = swap(host, "b", 3)
    assert report.outcome == "committed"
    assert "sleep of a failed" in (report.error or "")
    assert "it holds 8.00 GiB" in (report.error or "")
    assert state(host).tiers == {"a": "disk", "b": "awake"}
    assert list(host.engines.alive) == ["b"]


def test_a_parked_engine_that_kept_its_weights_is_stopped_and_named(host: FakeHost) -> None:
    host.engines.holds["b", "parked"] = 2 * GIB
    with host.client() as client:
        report = client.change_tier("b", "parked")
    assert report.tier == "disk"
    assert "it holds 2.00 GiB" in (report.error or "")
    assert list(host.engines.alive) == ["a"]


# ---------------------------------------------------------------- what is expected


def test_nothing_is_expected_of_a_model_that_was_never_measured() -> None:
    held = Holdings({})
    assert held.most_awake_bytes("a") is None
    assert held.most_idle_bytes("a", "asleep") is None
    assert held.most_idle_bytes("a", "parked") is None


def test_an_awake_model_may_fill_its_whole_cache() -> None:
    held = Holdings({"a": 3 * GIB})
    held.measured({"a": 5 * GIB}, {"a": "asleep"})
    most = held.most_awake_bytes("a")
    assert most is not None
    assert 8 * GIB < most <= 8.8 * GIB + TOLERANCE_BYTES


def test_parked_for_the_first_time_at_least_half_of_the_weights_must_go() -> None:
    held = Holdings({})
    held.measured({"a": 10 * GIB}, {"a": "asleep"})
    most = held.most_idle_bytes("a", "parked")
    assert most is not None
    assert 5 * GIB < most < 6.5 * GIB
    held.measured({"a": GIB}, {"a": "parked"})
    assert held.most_idle_bytes("a", "parked") == int(1.1 * GIB) + TOLERANCE_BYTES
