"""What a plan wants ready on each host beside the model that it grants."""

from orchestration.allocation.planner import propose
from orchestration.allocation.standbys import standbys
from tests.orchestration.building import a_fleet, a_model, a_state, traffic


def test_a_model_with_a_minimum_is_ready_on_the_hosts_that_do_not_serve_it() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b")], hosts=2)
    states = {"host-0": a_state("host-0", "a"), "host-1": a_state("host-1", "b")}
    plan = propose(fleet, states, [], now=0.0)
    assert standbys(fleet, plan) == {"host-0": (), "host-1": ("a",)}


def test_what_requests_wait_for_comes_before_minimums() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b", least=1), a_model("c")], hosts=2)
    states = {"host-0": a_state("host-0", "a"), "host-1": a_state("host-1", "b")}
    plan = propose(fleet, states, [traffic("c", waiting=3)], now=0.0)
    assert plan.replicas["c"] == 0, "both hosts have a minimum to keep"
    assert standbys(fleet, plan) == {"host-0": ("c", "b"), "host-1": ("c", "a")}


def test_the_minimum_that_one_lost_host_would_miss_comes_before_one_with_hosts_to_spare() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b", least=1), a_model("c")], hosts=4)
    awake = {"host-0": "a", "host-1": "a", "host-2": "b", "host-3": "c"}
    states = {host: a_state(host, model, interactive=1) for host, model in awake.items()}
    plan = propose(fleet, states, [], now=0.0)
    assert plan.moves == ()
    assert standbys(fleet, plan)["host-3"] == ("b", "a")


def test_a_model_with_all_the_replicas_it_may_have_is_not_wanted_once_more() -> None:
    fleet = a_fleet([a_model("a", most=1), a_model("b")], hosts=2)
    states = {"host-0": a_state("host-0", "a"), "host-1": a_state("host-1", "b", interactive=1)}
    plan = propose(fleet, states, [traffic("a", waiting=9)], now=0.0)
    assert standbys(fleet, plan)["host-1"] == ()


def test_hosts_keep_different_ones_of_equals_first() -> None:
    fleet = a_fleet([a_model(name, least=1) for name in "abc"], hosts=3)
    awake = {"host-0": "a", "host-1": "b", "host-2": "c"}
    states = {host: a_state(host, model) for host, model in awake.items()}
    plan = propose(fleet, states, [], now=0.0)
    assert {wanted[0] for wanted in standbys(fleet, plan).values()} == {"b", "c", "a"}


def test_a_host_that_does_not_serve_is_told_nothing() -> None:
    fleet = a_fleet([a_model("a", least=1)], hosts=2)
    states = {"host-0": a_state("host-0", "a"), "host-1": None}
    plan = propose(fleet, states, [], now=0.0)
    assert set(standbys(fleet, plan)) == {"host-0"}
