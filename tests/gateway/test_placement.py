"""Which replica takes a generation."""

from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.placement import ReplicaLoad, pick_elsewhere, pick_replica


def load(host: str, *, interactive: int = 0, batch: int = 0) -> ReplicaLoad:
    return ReplicaLoad(host, interactive, batch, slots=8, interactive_cap=4)


loads = st.lists(
    st.builds(
        ReplicaLoad,
        host=st.sampled_from([f"host-{i}" for i in range(6)]),
        interactive=st.integers(0, 12),
        batch=st.integers(0, 12),
        slots=st.integers(1, 8),
        interactive_cap=st.integers(1, 8),
    ),
    unique_by=lambda replica: replica.host,
)


def test_without_a_replica_there_is_none_to_pick() -> None:
    assert pick_replica([], "interactive") is None


def test_interactive_work_goes_where_the_least_interactive_work_is() -> None:
    replicas = [load("a", interactive=1), load("b", batch=8)]

    assert pick_replica(replicas, "interactive") == "b"


def test_among_equals_interactive_work_goes_where_the_least_work_is() -> None:
    replicas = [load("a", interactive=1, batch=3), load("b", interactive=1, batch=1)]

    assert pick_replica(replicas, "interactive") == "b"


def test_batch_work_goes_where_the_most_room_is() -> None:
    replicas = [load("a", batch=5), load("b", batch=3)]

    assert pick_replica(replicas, "batch") == "b"


def test_batch_room_ends_at_the_interactive_cap_while_interactive_work_is_there() -> None:
    replicas = [load("a", batch=5), load("b", interactive=1, batch=2)]

    assert [replica.room for replica in replicas] == [3, 1]
    assert pick_replica(replicas, "batch") == "a"


def test_a_host_that_just_evicted_is_avoided_if_another_has_room() -> None:
    evicted_by = frozenset({"a"})

    assert pick_replica([load("a"), load("b", batch=7)], "batch", avoid=evicted_by) == "b"
    assert pick_replica([load("a"), load("b", batch=8)], "batch", avoid=evicted_by) == "a"
    assert pick_replica([load("a")], "batch", avoid=evicted_by) == "a"


def test_a_held_generation_goes_to_the_most_room_there_is_elsewhere() -> None:
    replicas = [load("a"), load("b", batch=7), load("c", batch=5)]

    assert pick_elsewhere(replicas, than="a") == "c"
    assert pick_elsewhere(replicas, than="c") == "a"


def test_without_room_elsewhere_a_held_generation_goes_nowhere() -> None:
    full = [load("a"), load("b", batch=8), load("c", interactive=1, batch=3)]

    assert pick_elsewhere(full, than="a") is None


@given(loads, st.sampled_from(["interactive", "batch"]), st.sets(st.just("host-0")))
def test_whenever_there_is_a_replica_one_is_picked(replicas, request_class, avoid) -> None:
    picked = pick_replica(replicas, request_class, avoid=frozenset(avoid))

    assert (picked is None) == (not replicas)
    assert picked is None or picked in {replica.host for replica in replicas}


@given(loads)
def test_no_other_replica_has_less_interactive_work_than_the_one_picked(replicas) -> None:
    picked = next((r for r in replicas if r.host == pick_replica(replicas, "interactive")), None)

    assert all(picked.interactive <= r.interactive for r in replicas)
