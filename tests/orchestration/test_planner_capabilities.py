"""What hosts can hold, and which of them fail together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.allocation.planner import propose
from serving.config import Fleet, HostSettings, ModelSettings
from serving.config.fleet import AllocationSettings
from tests.orchestration.building import a_fleet, a_model, a_state, traffic
from tests.orchestration.test_planner import moved, plan
from tests.orchestration.test_planner_properties import States


def a_host(name: str, **more: object) -> HostSettings:
    return HostSettings(name=name, port=8101 + int(name.split("-")[1]), **more)  # type: ignore[arg-type]


def needing(model: ModelSettings, **more: object) -> ModelSettings:
    return model.model_copy(update=more)


def a_mixed_fleet(models: list[ModelSettings], hosts: list[HostSettings]) -> Fleet:
    allocation = AllocationSettings(window_s=10, time_sharing=False)
    return Fleet(hosts=hosts, models=models, allocation=allocation)


def test_a_model_goes_only_where_its_tensor_parallel_group_is() -> None:
    large = needing(a_model("large"), accelerator="cuda", min_devices=2)
    hosts = [
        a_host("host-0", accelerator="cuda", devices=[0]),
        a_host("host-1", accelerator="cuda", devices=[1, 2]),
        a_host("host-2"),
    ]
    fleet = a_mixed_fleet([a_model("a"), large], hosts)

    result = plan(fleet, dict.fromkeys(("host-0", "host-1", "host-2"), "a"), [wants("large")])

    assert moved(result) == {"host-1": "large"}


def wants(model: str, waiting: int = 3):  # type: ignore[no-untyped-def]
    return traffic(model, waiting=waiting, ended=0)


def test_a_host_makes_room_for_a_model_that_fits_nowhere_else() -> None:
    # large fits host-1 alone, where b has its only replica: b goes to host-0, which a can spare.
    large = needing(a_model("large"), weights_gib=30.0)
    hosts = [a_host("host-0"), a_host("host-1", host_memory_gib=64)]
    fleet = a_mixed_fleet([a_model("a"), a_model("b", least=1), large], hosts)

    result = plan(fleet, {"host-0": "a", "host-1": "b"}, [wants("large")])

    assert moved(result) == {"host-0": "b", "host-1": "large"}


def test_a_minimum_that_no_host_can_hold_is_refused_when_the_fleet_is_read() -> None:
    large = needing(a_model("large", least=1), weights_gib=30.0)

    with pytest.raises(ValueError, match="hosts that can hold it: 0"):
        a_mixed_fleet([large], [a_host("host-0")])


def test_replicas_go_to_the_failure_domain_that_has_fewest_of_them() -> None:
    hosts = [
        a_host(f"host-{number}", failure_domain=domain)
        for number, domain in enumerate(["east", "east", "west"])
    ]
    fleet = a_mixed_fleet([a_model("a", tokens_per_s=100), a_model("b")], hosts)

    result = plan(
        fleet,
        {"host-0": "a", "host-1": "b", "host-2": "b"},
        [traffic("a", tokens_per_s=130)],
    )

    assert moved(result) == {"host-2": "a"}


def test_no_host_is_moved_only_to_spread_replicas() -> None:
    hosts = [
        a_host(f"host-{number}", failure_domain=domain)
        for number, domain in enumerate(["east", "east", "west", "west"])
    ]
    fleet = a_mixed_fleet([a_model("a", least=2), a_model("b", least=2)], hosts)

    assert moved(plan(fleet, dict(zip(_names(4), "aabb", strict=True)))) == {}


def _names(count: int) -> list[str]:
    return [f"host-{number}" for number in range(count)]


@st.composite
def mixed(draw: st.DrawFn) -> tuple[Fleet, States, list[str]]:
    hosts = [a_host(name, host_memory_gib=draw(st.sampled_from([8, 32, 64]))) for name in _names(6)]
    models = [
        needing(a_model(f"m{n}"), weights_gib=draw(st.sampled_from([1.0, 20.0, 40.0])))
        for n in range(4)
    ]
    fleet = a_mixed_fleet(models, hosts)
    states: States = {}
    for host in hosts:
        able = [model.name for model in models if host.why_not(model) is None]
        states[host.name] = a_state(host.name, draw(st.sampled_from([*able, None])))
    waited = draw(st.lists(st.sampled_from([model.name for model in models]), unique=True))
    return fleet, states, waited


@given(mixed())
def test_no_host_is_given_what_it_cannot_hold(world: tuple[Fleet, States, list[str]]) -> None:
    fleet, states, waited = world

    result = propose(fleet, states, [wants(model) for model in waited], now=1000.0)

    for host, grant in result.grants.items():
        for model in grant:
            assert fleet.host(host).why_not(fleet.model(model)) is None
    for move in result.moves:
        assert result.grants[move.host] == move.grant


@given(mixed())
def test_who_waits_gets_a_host_where_every_host_can_hold_it(
    world: tuple[Fleet, States, list[str]],
) -> None:
    fleet, states, waited = world
    small = [model for model in fleet.models if model.weights_gib == 1.0]

    result = propose(fleet, states, [wants(model) for model in waited], now=1000.0)

    for model in small:
        if model.name in waited:
            assert result.replicas[model.name] > 0


def test_a_lost_hosts_minimum_takes_the_replica_whose_loss_costs_least() -> None:
    models = [a_model("a", least=1), a_model("busy"), a_model("quiet")]
    fleet = a_fleet(models, hosts=3)
    states: States = {
        "host-0": None,
        "host-1": a_state("host-1", "busy", interactive=4),
        "host-2": a_state("host-2", "quiet"),
    }

    assert moved(plan(fleet, states, [traffic("busy", tokens_per_s=90)])) == {"host-2": "a"}


def test_of_two_equal_victims_the_one_that_disturbs_less_is_taken() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b")], hosts=3)
    states: States = {
        "host-0": None,
        "host-1": a_state("host-1", "b", interactive=4),
        "host-2": a_state("host-2", "b", interactive=1),
    }

    assert moved(plan(fleet, states, [traffic("b", tokens_per_s=90)])) == {"host-2": "a"}


def test_a_heavier_model_goes_first_where_both_wait_for_the_only_host() -> None:
    heavy = needing(a_model("heavy"), weight=5.0)
    fleet = a_fleet([a_model("light"), heavy, a_model("idle")], hosts=1)

    result = plan(fleet, {"host-0": "idle"}, [wants("light", 4), wants("heavy", 1)])

    assert moved(result) == {"host-0": "heavy"}
