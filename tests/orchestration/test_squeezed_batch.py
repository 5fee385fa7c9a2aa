"""Batch work that interactive traffic squeezes is demand for another replica."""

from hypothesis import given
from hypothesis import strategies as st

from analytics.traffic import ModelTraffic
from orchestration.allocation.load.demand import offered_work
from orchestration.allocation.plan import Plan
from orchestration.allocation.planner import propose
from serving.wire import HostState
from tests.orchestration.building import a_fleet, a_model, a_state, squeezed, traffic

FLEET = a_fleet([a_model("a", most=2), a_model("b")], hosts=2)
CHAT = traffic("a", running=2, tokens_per_s=30)


def states(*, held: int, second: str = "b") -> dict[str, HostState | None]:
    return {
        "host-0": a_state("host-0", "a", interactive=2, held=held),
        "host-1": a_state("host-1", second),
    }


def plan(rows: list[ModelTraffic], *, held: int = 0, second: str = "b") -> Plan:
    return propose(FLEET, states(held=held, second=second), rows, now=1000.0)


def moved(plan: Plan) -> dict[str, str]:
    return {move.host: move.to_model for move in plan.moves}


def backlog(waiting: int) -> ModelTraffic:
    return traffic("a", batch=True, waiting=waiting, tokens_per_s=20, ended=1)


def test_a_model_whose_batch_is_squeezed_gets_a_host_that_nobody_needs() -> None:
    # Three of eight held: 0.30 + 0.20 served, 0.30 of backlog. It would fit, but for the cap.
    row = squeezed(backlog(3), held=3, capped=1, cap=2)

    result = plan([CHAT, row], held=3)

    assert moved(result) == {"host-1": "a"}
    assert "0.75 kept from batch by the interactive cap" in result.moves[0].reason


def test_the_same_work_without_interactive_pressure_stays_on_its_replica() -> None:
    row = squeezed(backlog(3), held=3, capped=0, cap=2)

    assert moved(plan([CHAT, row], held=3)) == {}


def test_a_little_batch_work_is_not_worth_a_host_however_squeezed() -> None:
    row = squeezed(traffic("a", batch=True, waiting=1, tokens_per_s=2), held=1, capped=1, cap=1)

    assert moved(plan([CHAT, row], held=1)) == {}


def test_interactive_work_of_another_model_goes_before_squeezed_batch() -> None:
    row = squeezed(backlog(3), held=3)
    busy = traffic("b", running=3, tokens_per_s=60)

    assert moved(plan([CHAT, row, busy], held=3)) == {}


def test_a_maximum_is_kept_and_the_verdict_says_that_work_is_missing() -> None:
    fleet = a_fleet([a_model("a", most=1), a_model("b")], hosts=2)
    row = squeezed(backlog(3), held=3)

    result = propose(fleet, states(held=3), [CHAT, row], now=1000.0)

    assert result.moves == ()
    assert "3 batch waiting (3 of them held)" in result.verdicts["a"]
    assert "at its maximum" in result.verdicts["a"]


def test_bursts_do_not_move_hosts_to_and_fro() -> None:
    """Held now or not: what counts is the mean over the window, and what is held is kept."""
    row = squeezed(backlog(0), held=1.5, capped=0.5, cap=2)
    in_a_burst, between = (plan([CHAT, row], held=held) for held in (3, 0))
    with_two = plan([CHAT, row], held=0, second="a")

    assert moved(in_a_burst) == moved(between)
    assert moved(with_two) == {}


def test_held_generations_count_as_waiting_and_half_done() -> None:
    row = squeezed(traffic("a", batch=True, waiting=6, tokens_per_s=0, ended=0), held=2)

    demand = offered_work(FLEET, [row], states(held=4))["a"]

    assert (demand.waiting_batch, demand.held_batch) == (6, 4)
    assert demand.batch_tokens_per_s == (2 + 0.5 * 2) * 256 / 10


def test_hosts_tell_of_held_generations_while_the_statistics_are_away() -> None:
    demand = offered_work(FLEET, [], states(held=4))["a"]

    assert demand.waiting_batch == 4
    assert demand.present_now


@given(
    waiting=st.integers(0, 50),
    held=st.floats(0, 16),
    capped=st.floats(0, 2),
    cap=st.floats(1, 8),
    chat=st.floats(0, 150),
)
def test_what_squeezed_batch_was_given_is_not_taken_back_while_it_is_squeezed(
    waiting: int, held: float, capped: float, cap: float, chat: float
) -> None:
    rows = [
        traffic("a", running=2, tokens_per_s=chat),
        squeezed(backlog(waiting), held=held, capped=capped, cap=cap),
    ]

    if moved(plan(rows)) == {"host-1": "a"}:
        assert moved(plan(rows, second="a")) == {}


@given(
    waiting=st.integers(0, 50), held=st.floats(0, 16), capped=st.floats(0, 2), cap=st.floats(1, 8)
)
def test_more_pressure_never_gives_batch_fewer_replicas(
    waiting: int, held: float, capped: float, cap: float
) -> None:
    def replicas(pressure: float) -> int:
        row = squeezed(backlog(waiting), held=held, capped=capped * pressure, cap=cap)
        return plan([CHAT, row]).replicas["a"]

    assert replicas(0.0) <= replicas(0.5) <= replicas(1.0)
