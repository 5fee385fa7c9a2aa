"""How engine hosts come by the batch-size profiles of their hardware."""

from typing import Any

import dagster as dg
import pytest

from orchestration.assembly import build_definitions
from orchestration.profiling.delivery import deliver
from orchestration.profiling.record import ProfileRecord
from serving.engine.profiles import ProfileFolder
from serving.wire import BatchSizeProfile
from tests.fakes.host import FakeHost
from tests.orchestration.building import a_profile
from tests.orchestration.conftest import Rig, RigMaker

SIZES = [(1, 0.02, 50.0), (2, 0.03, 90.0), (4, 0.2, 120.0)]


@pytest.fixture
def rig(make_rig: RigMaker) -> Rig:
    models: dict[str, dict[str, int]] = {"a": {"min_replicas": 1, "max_replicas": 2}, "b": {}}
    return make_rig(models, {"h-0": "a", "h-1": "a"})


def profile_for(host: FakeHost, model: str) -> BatchSizeProfile:
    with host.client() as client:
        return a_profile(model, SIZES, hardware=client.state().hardware)


def kept(rig: Rig, host: str) -> list[str]:
    """The models of the profiles that a host keeps."""
    return [profile.model for profile in ProfileFolder(rig.state.host(host)).read()]


def allocate(rig: Rig) -> dg.ExecuteInProcessResult:
    job = build_definitions(rig.installation).resolve_job_def("allocation")
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, raise_on_error=False)


def test_a_host_is_given_the_profiles_of_its_hardware_only(rig: Rig) -> None:
    host = rig.hosts["h-0"]
    mine = profile_for(host, "a")

    with host.client() as client:
        given = deliver(client, [mine, a_profile("b", SIZES, hardware="another machine")])

    assert given == ["a"]
    assert kept(rig, "h-0") == ["a"]


def test_an_allocation_run_gives_profiles_to_every_host_moved_or_not(rig: Rig) -> None:
    record = ProfileRecord.of(rig.state)
    for model in ("a", "b"):
        record.write(profile_for(rig.hosts["h-0"], model))
    rig.waiting("b", 3)

    assert allocate(rig).success
    assert sorted(str(model) for model in rig.awake().values()) == ["a", "b"]
    assert (kept(rig, "h-0"), kept(rig, "h-1")) == (["a", "b"], ["a", "b"])


def test_the_first_interactive_cap_follows_from_the_profile(rig: Rig) -> None:
    host = rig.hosts["h-0"]
    with host.client() as client:
        assert client.state().interactive_cap == 2
        deliver(client, [a_profile("a", [(1, 0.02, 50), (4, 0.03, 90)], hardware=hardware(host))])
        assert client.state().interactive_cap == 4


def test_profiles_of_models_no_longer_in_the_fleet_are_passed_over(rig: Rig) -> None:
    record = ProfileRecord.of(rig.state)
    for model in ("a", "a-model-of-last-year"):
        record.write(profile_for(rig.hosts["h-0"], model))

    assert allocate(rig).success
    assert kept(rig, "h-0") == ["a"]


def hardware(host: FakeHost) -> str:
    with host.client() as client:
        return client.state().hardware


def test_hardware_is_named(rig: Rig) -> None:
    names: set[Any] = {hardware(host) for host in rig.hosts.values()}

    assert len(names) == 1
    assert names != {""}
