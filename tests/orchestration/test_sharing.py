"""Which models share hosts, and which hosts: examples and what never happens."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from orchestration.allocation.choosing.memory import Fits
from orchestration.allocation.choosing.sets import MOST_COPIES
from orchestration.allocation.choosing.sharing import Sharing, shared_sets
from orchestration.allocation.load.capacity import Capacity
from orchestration.allocation.load.demand import ModelDemand
from orchestration.allocation.load.need import Need
from orchestration.allocation.planner import propose
from orchestration.allocation.pool import Place
from serving.config import ModelSettings
from serving.config.fleet import RandomSource
from tests.orchestration.building import a_fleet, a_model, a_state, traffic

CAPACITY = Capacity(tokens_per_s=100.0, source="as the test says", concurrency=10)


def need(name: str, *, activity: float, load: float = 0.1, minimum: int = 0) -> Need:
    model = ModelSettings(
        name=name, source=RandomSource(kind="random"), min_replicas=minimum, max_replicas=64
    )
    demand = ModelDemand(activity=activity, usual_tokens_per_s=100.0 * load)
    return Need(model=model, demand=demand, capacity=CAPACITY)


def place(number: int, *grant: str) -> Place:
    model = grant[0] if grant else None
    return Place(
        host=f"h{number}",
        model=model,
        movable=True,
        serves=model is not None,
        pinned_because=None,
        grant=grant,
    )


def planned(needs: list[Need], pool: list[Place], models_each: int = 4) -> Sharing:
    fits = Fits(model_bytes={}, host_bytes={p.host: models_each for p in pool}, assumed_bytes=1)
    return shared_sets({each.model.name: each for each in needs}, pool, fits)


def test_models_rarely_asked_for_share_every_host() -> None:
    sharing = planned([need(n, activity=0.05) for n in "abcd"], [place(n) for n in range(3)])
    assert sharing.models == frozenset("abcd")
    assert [set(grant) for grant in sharing.grants] == [set("abcd")] * 3


def test_a_model_in_constant_use_has_a_host_of_its_own_and_overflows() -> None:
    needs = [need("a", activity=0.95, load=0.6), *(need(n, activity=0.05) for n in "bcd")]
    sharing = planned(needs, [place(n) for n in range(4)])
    assert sharing.own == {"a": 1}
    assert len(sharing.grants) == 3
    assert all("a" in grant for grant in sharing.grants)


def test_a_model_often_used_shares_while_hosts_are_fewer_than_models_active_at_once() -> None:
    needs = [need(n, activity=0.6) for n in "abcdef"]
    assert planned(needs, [place(n) for n in range(4)]).own == {}
    assert len(planned(needs, [place(n) for n in range(12)]).own) > 0


def test_a_model_of_unknown_activity_shares() -> None:
    unknown = Need(model=need("a", activity=0.0).model, demand=ModelDemand(), capacity=CAPACITY)
    assert planned([unknown, need("b", activity=0.0)], [place(0)]).models == frozenset("ab")


def test_one_model_alone_shares_nothing() -> None:
    assert planned([need("a", activity=0.1)], [place(0), place(1)]) == Sharing()


def test_minimums_leave_the_other_hosts_to_be_shared() -> None:
    needs = [need("a", activity=0.1, minimum=2), need("b", activity=0.1)]
    assert len(planned(needs, [place(n) for n in range(3)]).grants) == 1


def test_a_model_is_spread_over_a_bounded_number_of_hosts_though_all_would_hold_it() -> None:
    needs = [need(f"m{n}", activity=0.05) for n in range(30)]
    sharing = planned(needs, [place(n) for n in range(200)], models_each=1000)
    assert len(sharing.grants) == 120
    copies = Counter(name for grant in sharing.grants for name in grant)
    assert set(copies.values()) == {MOST_COPIES}


NEEDS = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 3), st.integers(0, 1)), min_size=1, max_size=12
)


@given(rows=NEEDS, hosts=st.integers(1, 10), models_each=st.integers(2, 5))
@settings(deadline=None)
def test_sets_fit_into_memory_cover_who_shares_and_stay_once_made(
    rows: list[tuple[float, float, int]], hosts: int, models_each: int
) -> None:
    needs = [need(f"m{n}", activity=a, load=x, minimum=m) for n, (a, x, m) in enumerate(rows)]
    pool = [place(number) for number in range(hosts)]
    sharing = planned(needs, pool, models_each)
    assert sharing == planned(needs, pool, models_each)
    for grant in sharing.grants:
        assert 2 <= len(set(grant)) == len(grant) <= models_each
    granted = {name for grant in sharing.grants for name in grant}
    assert sharing.models <= granted
    assert not sharing.models & sharing.own.keys()
    minimums = sum(minimum for _, _, minimum in rows)
    assert len(sharing.grants) <= max(0, hosts - minimums)
    after = [place(number, *grant) for number, grant in enumerate(sharing.grants)]
    after += [place(number) for number in range(len(after), hosts)]
    again = planned(needs, after, models_each)
    assert [set(grant) for grant in again.grants] == [set(grant) for grant in sharing.grants]


def test_the_verdict_of_a_model_without_a_replica_names_the_hosts_that_may_switch_to_it() -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b"), a_model("c")], hosts=2)
    allocation = fleet.allocation.model_copy(update={"time_sharing": True})
    fleet = fleet.model_copy(update={"allocation": allocation})
    shared = replace(a_state("host-1", "b"), grant=("b", "a", "c"))
    states = {"host-0": a_state("host-0", "a"), "host-1": shared}

    result = propose(fleet, states, [traffic("c", waiting=2, ended=0)], now=1000.0)

    assert result.moves == ()
    assert result.verdicts["c"].endswith(
        "2 interactive and 0 batch waiting: host-1 may switch to it"
    )
