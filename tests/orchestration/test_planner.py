"""The planner, as a specification."""

from analytics.traffic import ModelTraffic
from orchestration.allocation.plan import Plan
from orchestration.allocation.planner import propose
from serving.config import Fleet
from serving.wire import HostState
from tests.orchestration.building import a_fleet, a_model, a_state, traffic

NOW = 1000.0


def plan(
    fleet: Fleet,
    awake: dict[str, str | None] | dict[str, HostState | None],
    rows: list[ModelTraffic] | None = None,
    **more: object,
) -> Plan:
    states = {
        host: value if isinstance(value, HostState) or value is None else a_state(host, value)
        for host, value in awake.items()
    }
    return propose(fleet, states, rows or [], now=NOW, **more)  # type: ignore[arg-type]


def moved(plan: Plan) -> dict[str, str]:
    return {move.host: move.to_model for move in plan.moves}


def test_a_content_fleet_moves_nothing_and_says_why() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b")], hosts=2)

    result = plan(fleet, {"host-0": "a", "host-1": "a"})

    assert result.moves == ()
    assert "enough" in result.verdicts["a"]


def test_a_model_with_waiting_requests_and_no_replica_gets_a_host() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b")], hosts=2)

    result = plan(fleet, {"host-0": "a", "host-1": "a"}, [traffic("b", waiting=3, ended=0)])

    assert list(moved(result).values()) == ["b"]
    assert "b has 3 interactive requests waiting and no replica" in result.moves[0].reason
    assert "leaves a, which keeps 1 replica (minimum 1)" in result.moves[0].reason
    assert result.replicas == {"a": 1, "b": 1}


def test_waiting_requests_do_not_break_a_minimum() -> None:
    fleet = a_fleet([a_model("a", least=2), a_model("b")], hosts=2)

    result = plan(fleet, {"host-0": "a", "host-1": "a"}, [traffic("b", waiting=3)])

    assert result.moves == ()
    assert "it has none" in result.verdicts["b"]


def test_the_least_needed_and_least_busy_host_is_the_victim() -> None:
    fleet = a_fleet([a_model("a"), a_model("b"), a_model("c")], hosts=3)
    states = {
        "host-0": a_state("host-0", "a", interactive=2),
        "host-1": a_state("host-1", "b", batch=4),
        "host-2": a_state("host-2", "b"),
    }
    rows = [traffic("a", running=2, tokens_per_s=50), traffic("c", waiting=1, ended=0)]

    assert moved(plan(fleet, states, rows)) == {"host-2": "c"}


def test_a_host_that_just_got_a_wanted_model_is_left_alone() -> None:
    fleet = a_fleet([a_model("a"), a_model("b")], hosts=1, cooldown_s=20)
    rows = [traffic("a", running=1), traffic("b", waiting=3)]

    young = plan(fleet, {"host-0": "a"}, rows, swapped_at={"host-0": NOW - 5})
    old = plan(fleet, {"host-0": "a"}, rows, swapped_at={"host-0": NOW - 21})

    assert young.moves == ()
    assert "host-0 got its model 5 s ago and keeps it for 20 s" in young.verdicts["b"]
    assert moved(old) == {"host-0": "b"}


def test_an_idle_host_is_free_at_once() -> None:
    fleet = a_fleet([a_model("a"), a_model("b")], hosts=1, cooldown_s=20)

    result = plan(fleet, {"host-0": "a"}, [traffic("b", waiting=1)], swapped_at={"host-0": NOW - 1})

    assert moved(result) == {"host-0": "b"}


def test_a_minimum_lost_with_its_host_is_made_up_elsewhere() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b")], hosts=2)

    unreachable = plan(fleet, {"host-0": None, "host-1": "b"})
    failed = plan(
        fleet,
        {
            "host-0": a_state("host-0", "a", phase="failed", failure="out of memory"),
            "host-1": a_state("host-1", "b"),
        },
    )

    for result in (unreachable, failed):
        assert moved(result) == {"host-1": "a"}
        assert result.grants == {"host-0": (), "host-1": ("a",)}
        assert "a has no replicas, its minimum is 1" in result.moves[0].reason


def test_a_missing_minimum_does_not_wait_for_the_cooldown() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b")], hosts=2, cooldown_s=20)

    result = plan(fleet, {"host-0": None, "host-1": "b"}, swapped_at={"host-1": NOW - 1})

    assert moved(result) == {"host-1": "a"}


def test_minimums_come_before_waiting_requests() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b"), a_model("c")], hosts=1)

    result = plan(fleet, {"host-0": "b"}, [traffic("c", waiting=9)])

    assert moved(result) == {"host-0": "a"}


def test_load_above_one_replica_gets_a_second() -> None:
    fleet = a_fleet([a_model("a", tokens_per_s=100), a_model("b")], hosts=2)

    result = plan(fleet, {"host-0": "a", "host-1": "b"}, [traffic("a", tokens_per_s=170)])

    assert moved(result) == {"host-1": "a"}
    assert "a load of 1.70 replicas (1.70 interactive)" in result.moves[0].reason


def test_load_that_one_replica_just_serves_in_time_is_not_worth_a_move() -> None:
    fleet = a_fleet([a_model("a", tokens_per_s=100), a_model("b")], hosts=2)

    calm = plan(fleet, {"host-0": "a", "host-1": "b"}, [traffic("a", tokens_per_s=70)])
    busy = plan(fleet, {"host-0": "a", "host-1": "b"}, [traffic("a", tokens_per_s=90)])

    assert calm.moves == ()
    assert moved(busy) == {"host-1": "a"}


def test_a_move_that_gains_less_than_it_disturbs_is_not_made() -> None:
    fleet = a_fleet([a_model("a", tokens_per_s=100), a_model("b")], hosts=3)
    rows = [
        traffic("a", tokens_per_s=110),
        traffic("b", batch=True, running=8, tokens_per_s=20),
    ]
    quiet = {
        "host-0": a_state("host-0", "a"),
        "host-1": a_state("host-1", "b"),
        "host-2": a_state("host-2", "b"),
    }
    busy = quiet | {name: a_state(name, "b", interactive=12) for name in ("host-1", "host-2")}

    assert moved(plan(fleet, quiet, rows)) == {"host-1": "a"}
    assert plan(fleet, busy, rows).moves == ()


def test_batch_takes_only_what_interactive_leaves() -> None:
    fleet = a_fleet([a_model("a"), a_model("b")], hosts=2)
    backlog = traffic("b", batch=True, waiting=100)

    busy = plan(fleet, {"host-0": "a", "host-1": "a"}, [traffic("a", tokens_per_s=190), backlog])
    idle = plan(fleet, {"host-0": "a", "host-1": "a"}, [traffic("a", tokens_per_s=50), backlog])

    assert busy.moves == ()
    assert list(moved(idle).values()) == ["b"]


def test_a_replica_beyond_the_maximum_goes_where_there_is_room() -> None:
    fleet = a_fleet([a_model("a", most=1), a_model("b")], hosts=2)

    assert list(moved(plan(fleet, {"host-0": "a", "host-1": "a"})).values()) == ["b"]


def test_the_host_where_the_model_wakes_cheapest_is_taken() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b")], hosts=3)
    states = {
        "host-0": a_state("host-0", "a", tiers={"a": "awake", "b": "disk"}),
        "host-1": a_state("host-1", "a", tiers={"a": "awake", "b": "asleep"}),
        "host-2": a_state("host-2", "a", tiers={"a": "awake", "b": "parked"}),
    }

    assert moved(plan(fleet, states, [traffic("b", waiting=1)])) == {"host-1": "b"}


def test_a_host_without_a_model_is_given_one_before_another_loses_its_own() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b")], hosts=3)

    result = plan(
        fleet,
        {
            "host-0": a_state("host-0", "a"),
            "host-1": a_state("host-1", "a"),
            "host-2": a_state("host-2", None),
        },
        [traffic("b", waiting=1)],
    )

    assert moved(result) == {"host-2": "b"}


def test_a_swapping_host_counts_for_where_it_is_going() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b")], hosts=2)
    states = {
        "host-0": a_state("host-0", "a"),
        "host-1": a_state("host-1", "a", phase="swapping", swap_target="b"),
    }

    assert plan(fleet, states, [traffic("b", waiting=2)]).moves == ()


def test_a_starting_host_is_a_replica_of_what_it_says_it_starts_with() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b")], hosts=2)
    states = {
        "host-0": a_state("host-0", None, phase="starting", swap_target="a"),
        "host-1": a_state("host-1", "b"),
    }
    assert not propose(fleet, states, [], now=NOW).moves


def test_a_starting_host_holds_a_minimum_but_not_a_queue() -> None:
    models = [a_model("a", least=1), a_model("b")]
    fleet = a_fleet(models, hosts=2)
    fleet = fleet.model_copy(
        update={"hosts": [fleet.hosts[0].model_copy(update={"starts_with": "a"}), fleet.hosts[1]]}
    )
    states = {"host-0": a_state("host-0", None, phase="starting"), "host-1": a_state("host-1", "b")}

    assert plan(fleet, states).moves == ()
    assert moved(plan(fleet, states, [traffic("a", waiting=1)])) == {"host-1": "a"}


def test_two_models_that_share_one_host_take_turns() -> None:
    fleet = a_fleet([a_model("a"), a_model("b")], hosts=1, cooldown_s=20)
    rows = [traffic("a", running=2, tokens_per_s=90), traffic("b", waiting=1, ended=0)]

    first = plan(fleet, {"host-0": "a"}, rows)
    assert moved(first) == {"host-0": "b"}

    waiting = [traffic("a", waiting=2), traffic("b", running=1, tokens_per_s=90)]
    at_once = plan(fleet, {"host-0": "b"}, waiting, swapped_at={"host-0": NOW - 1})
    later = plan(fleet, {"host-0": "b"}, waiting, swapped_at={"host-0": NOW - 20})
    assert at_once.moves == ()
    assert moved(later) == {"host-0": "a"}


def test_hosts_own_counts_stand_in_for_missing_statistics() -> None:
    fleet = a_fleet([a_model("a"), a_model("b", least=1), a_model("c", least=1)], hosts=3)
    states = {
        "host-0": a_state("host-0", "a", interactive=3),
        "host-1": a_state("host-1", "b"),
        "host-2": a_state("host-2", "b"),
    }

    assert moved(plan(fleet, states)) == {"host-1": "c"}


def test_a_plan_is_newer_than_every_plan_obeyed_or_recorded() -> None:
    fleet = a_fleet([a_model("a")], hosts=2)
    states = {
        "host-0": a_state("host-0", "a", plan_id=7),
        "host-1": a_state("host-1", "a", plan_id=3),
    }

    assert plan(fleet, states).plan_id == 8
    assert plan(fleet, states, last_plan_id=11).plan_id == 12
