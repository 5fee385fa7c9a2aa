"""What holds for every plan, whatever the fleet and the traffic."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from analytics.traffic import ModelTraffic
from orchestration.allocation.plan import Plan
from orchestration.allocation.planner import propose
from serving.config import Fleet
from serving.wire import ClassCounts, HostState, Tier
from tests.orchestration.building import a_fleet, a_model, a_state, squeezed, traffic

NOW = 1000.0
TIERS: list[Tier] = ["asleep", "parked", "disk", "absent"]

States = dict[str, HostState | None]


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    hosts = draw(st.integers(1, 6))
    count = draw(st.integers(1, 5))
    left = hosts
    models = []
    for number in range(count):
        least = draw(st.integers(0, left))
        left -= least
        most = draw(st.integers(least, 6))
        models.append(a_model(f"m{number}", least=least, most=most))
    return a_fleet(models, hosts=hosts)


@st.composite
def situations(
    draw: st.DrawFn, *, all_serving: bool = False
) -> tuple[Fleet, States, list[ModelTraffic]]:
    fleet = draw(fleets())
    names: list[str | None] = [model.name for model in fleet.models]
    states: States = {}
    for host in fleet.hosts:
        awake = draw(st.sampled_from([*names, None, "unknown-model"]))
        phase = "serving"
        if not all_serving:
            if draw(st.integers(0, 7)) == 0:
                states[host.name] = None
                continue
            phase = draw(st.sampled_from(["serving"] * 5 + ["starting", "swapping", "failed"]))
        states[host.name] = a_state(
            host.name,
            awake,
            phase=phase,  # type: ignore[arg-type]
            swap_target=draw(st.sampled_from(names)) if phase == "swapping" else None,
            tiers={m.name: draw(st.sampled_from(TIERS)) for m in fleet.models},
            interactive=draw(st.integers(0, 4)),
            batch=draw(st.integers(0, 4)),
            held=draw(st.sampled_from([0, 0, 3])),
        )
    rows = [
        squeezed(
            traffic(
                model,
                batch=batch,
                waiting=draw(st.sampled_from([0, 0, 1, 5, 100])),
                running=draw(st.integers(0, 8)),
                tokens_per_s=draw(st.floats(0, 500)),
                ended=draw(st.integers(0, 50)),
            ),
            held=draw(st.floats(0, 16)) if batch else 0.0,
            capped=draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])) if batch else 0.0,
            cap=draw(st.floats(1, 8)),
        )
        for model in [*(m.name for m in fleet.models), "unknown-model"]
        for batch in (False, True)
        if draw(st.booleans())
    ]
    return fleet, states, rows


def applied(plan: Plan, states: States) -> States:
    """The states once every move is made."""
    after = dict(states)
    for move in plan.moves:
        before = states[move.host]
        assert before is not None
        after[move.host] = a_state(
            move.host,
            move.to_model,
            plan_id=plan.plan_id,
            tiers=before.tiers,
            interactive=before.running.interactive,
            batch=before.running.batch,
        )
    return after


def serving_counts(fleet: Fleet, states: States) -> Counter[str]:
    known = {model.name for model in fleet.models}
    return Counter(
        state.awake_model
        for state in states.values()
        if state is not None and state.phase == "serving" and state.awake_model in known
    )


@given(situations())
def test_only_hosts_that_serve_are_moved_each_once_to_a_known_model(
    situation: tuple[Fleet, States, list[ModelTraffic]],
) -> None:
    fleet, states, rows = situation
    plan = propose(fleet, states, rows, now=NOW)

    assert len({move.host for move in plan.moves}) == len(plan.moves)
    for move in plan.moves:
        state = states[move.host]
        assert state is not None
        assert state.phase == "serving"
        assert move.to_model != state.awake_model
        assert move.to_model in {model.name for model in fleet.models}
        assert move.reason


@given(situations(all_serving=True))
def test_minimums_and_maximums_hold_when_all_hosts_serve(
    situation: tuple[Fleet, States, list[ModelTraffic]],
) -> None:
    fleet, states, rows = situation
    plan = propose(fleet, states, rows, now=NOW)
    counts = serving_counts(fleet, applied(plan, states))

    has_room = sum(model.max_replicas for model in fleet.models) >= len(fleet.hosts)
    for model in fleet.models:
        assert counts[model.name] >= model.min_replicas
        if has_room:
            assert counts[model.name] <= model.max_replicas
        assert plan.replicas[model.name] == counts[model.name]


@given(situations())
def test_the_same_input_gives_the_same_plan(
    situation: tuple[Fleet, States, list[ModelTraffic]],
) -> None:
    fleet, states, rows = situation
    again = dict(reversed(list(states.items())))

    assert propose(fleet, states, rows, now=NOW) == propose(fleet, again, rows[::-1], now=NOW)


def without_running(states: States) -> States:
    """What hosts run goes with their models: only the traffic rows are the same after a plan."""
    return {
        name: state and replace(state, running=ClassCounts(), waiting=ClassCounts(), held=0)
        for name, state in states.items()
    }


@given(situations())
def test_a_host_given_a_wanted_model_keeps_it_for_the_cooldown(
    situation: tuple[Fleet, States, list[ModelTraffic]],
) -> None:
    fleet, states, rows = situation
    states = without_running(states)
    plan = propose(fleet, states, rows, now=NOW)
    wanted = {row.model for row in rows if row.waiting or row.running}
    given_a_wanted_model = {move.host for move in plan.moves if move.to_model in wanted}
    minimums_held = all(plan.replicas[m.name] >= m.min_replicas for m in fleet.models)

    again = propose(
        fleet,
        applied(plan, states),
        rows,
        now=NOW + 1,
        swapped_at={move.host: NOW for move in plan.moves},
    )

    if minimums_held:
        assert not given_a_wanted_model & {move.host for move in again.moves}


@given(situations(all_serving=True))
def test_steady_demand_that_fits_the_pool_is_settled_by_one_plan(
    situation: tuple[Fleet, States, list[ModelTraffic]],
) -> None:
    fleet, states, rows = situation
    states = {name: state and a_state(name, state.awake_model) for name, state in states.items()}
    wanted = [m for m in fleet.models if m.min_replicas or any(r.model == m.name for r in rows)]
    seats = sum(max(m.min_replicas, min(1, m.max_replicas)) for m in wanted)
    plan = propose(fleet, states, rows, now=NOW)

    again = propose(fleet, applied(plan, states), rows, now=NOW + 1000)

    if seats <= len(fleet.hosts):
        assert again.moves == ()
