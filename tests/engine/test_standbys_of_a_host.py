"""What the control plane wants ready on a host: taken over, kept in mind, fenced like its plans."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.config import StateFolder
from serving.engine.assembly import HostOptions
from serving.errors import PlanRefused
from serving.wire import Standbys, SwapCommand
from tests.engine.asking import state
from tests.fakes.host import FakeHost, fake_fleet, running_host, wait_until

OPTIONS = HostOptions(prewarm_after_s=0.0, drain_s=0.2, sample_s=0.05)
GIB = 1024**3


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FakeHost]:
    """Room for one model beside the awake one; b has a minimum."""
    models = {"a": {}, "b": {"min_replicas": 1}, "c": {}}
    fleet = fake_fleet(models, {"host-0": "a"})
    settings = fleet.hosts[0].model_copy(update={"host_memory_gib": 3.5})
    fleet = fleet.model_copy(update={"hosts": [settings]})
    with running_host(fleet, StateFolder(tmp_path), "host-0", options=OPTIONS) as running:
        running.engines.asleep_bytes |= dict.fromkeys("abc", 2 * GIB)
        running.engines.holds |= {(model, "parked"): GIB // 4 for model in "abc"}
        yield running


def want(host: FakeHost, plan_id: int, *models: str) -> None:
    with host.client() as client:
        client.want(Standbys(plan_id=plan_id, models=list(models)))


def test_without_a_plan_models_with_a_minimum_are_standbys(host: FakeHost) -> None:
    assert state(host).standbys == ["b"]
    wait_until(lambda: state(host).tiers["b"] == "asleep")


def test_what_a_plan_wants_is_made_ready_and_what_it_wants_no_more_makes_room(
    host: FakeHost,
) -> None:
    wait_until(lambda: state(host).tiers["b"] == "asleep")
    want(host, 1, "c")
    wait_until(lambda: state(host).tiers["c"] == "asleep")
    assert state(host).tiers["b"] != "asleep"
    assert state(host).standbys == ["c"]


def test_standbys_of_an_older_plan_and_unknown_models_are_refused(host: FakeHost) -> None:
    want(host, 5, "c")
    with pytest.raises(PlanRefused, match="plan 4 is older than plan 5"):
        want(host, 4, "b")
    with pytest.raises(PlanRefused, match="no model 'z'"):
        want(host, 6, "z")
    with host.client() as client:
        client.swap(SwapCommand(model="b", plan_id=7, reason="test"))
    with pytest.raises(PlanRefused, match="older than plan 7"):
        want(host, 6, "b")
    assert state(host).standbys == ["c"]
