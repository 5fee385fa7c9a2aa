"""What keeps an allocation still: moves must pay, and noise does not."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.traffic import ModelTraffic
from orchestration.allocation.planner import propose
from serving.config import Fleet
from tests.orchestration.building import a_fleet, a_model, a_state, traffic
from tests.orchestration.test_planner_properties import States, applied

CAPACITY = 1000.0
REQUEST_TOKENS = 20.0
MODELS = [f"m{number}" for number in range(5)]

Loads = dict[str, float]
"""Interactive load by model, in replicas."""


def loads(most: float = 3.0) -> st.SearchStrategy[Loads]:
    return st.fixed_dictionaries({name: st.floats(0, most) for name in MODELS})


def fleet_of(hosts: int) -> Fleet:
    return a_fleet([a_model(name, tokens_per_s=CAPACITY) for name in MODELS], hosts=hosts)


def rows_of(offered: Loads) -> list[ModelTraffic]:
    return [
        traffic(
            name,
            tokens_per_s=load * CAPACITY,
            ended=round(load * CAPACITY * 10 / REQUEST_TOKENS),
            running=round(load * 4),
        )
        for name, load in offered.items()
    ]


def states_of(awake: list[str]) -> States:
    tiers = dict.fromkeys(MODELS, "asleep")
    return {
        f"host-{number}": a_state(f"host-{number}", model, tiers=tiers, interactive=2)  # type: ignore[arg-type]
        for number, model in enumerate(awake)
    }


def settled(fleet: Fleet, offered: Loads, awake: list[str]) -> States:
    """The states after plans for `offered` were carried out until one moves nothing."""
    states = states_of(awake)
    for round_number in range(10):
        plan = propose(fleet, states, rows_of(offered), now=1000.0 * round_number)
        if not plan.moves:
            return states
        states = applied(plan, states)
    raise AssertionError(f"ten plans did not settle {offered}")


situations = st.lists(st.sampled_from(MODELS), min_size=2, max_size=12)


@given(situations, loads())
def test_the_same_demand_is_settled_after_few_plans(awake: list[str], offered: Loads) -> None:
    settled(fleet_of(len(awake)), offered, awake)


@given(situations, loads(), st.sampled_from(MODELS), st.floats(0.9, 1.1))
def test_a_small_change_of_one_models_load_moves_no_more_than_a_host(
    awake: list[str], offered: Loads, model: str, factor: float
) -> None:
    fleet = fleet_of(len(awake))
    states = settled(fleet, offered, awake)
    changed = offered | {model: offered[model] * factor}

    plan = propose(fleet, states, rows_of(changed), now=20_000.0)

    assert len(plan.moves) <= 1


@settings(max_examples=20)
@given(situations, loads(), st.integers(0, 1000))
def test_steady_traffic_with_noise_does_not_make_hosts_go_to_and_fro(
    awake: list[str], offered: Loads, seed: int
) -> None:
    fleet, rng = fleet_of(len(awake)), random.Random(seed)
    states, swapped_at = settled(fleet, offered, awake), {}
    given_up: set[tuple[str, str | None]] = set()

    for number in range(30):
        now = 20_000.0 + 10.0 * number
        noisy = {name: load * rng.uniform(0.9, 1.1) for name, load in offered.items()}
        plan = propose(fleet, states, rows_of(noisy), now=now, swapped_at=swapped_at)
        states = applied(plan, states)
        swapped_at.update(dict.fromkeys((move.host for move in plan.moves), now))
        for move in plan.moves:
            assert (move.host, move.to_model) not in given_up, "a host goes to and fro"
            given_up.add((move.host, move.from_model))
