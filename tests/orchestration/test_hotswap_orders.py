"""From a plan to hotswap commands."""

from orchestration.allocation.plan import Move, Plan
from orchestration.hotswaps import grants, orders
from serving.wire import Grant


def policies(grants: dict[str, tuple[str, ...]], *moves: Move) -> dict[str, str]:
    """The hand-back policy that each host of a plan is told."""
    plan = Plan(
        plan_id=4,
        made_at=0,
        trigger="",
        moves=moves,
        grants=grants,
        replicas={},
        verdicts={},
        demand={},
    )
    return {order.host: order.command.policy for order in orders(plan)}


def move(host: str, from_model: str | None, to_model: str) -> Move:
    return Move(host=host, from_model=from_model, to_model=to_model, reason="test")


def test_generations_leave_one_after_the_other_where_a_replica_of_theirs_stays() -> None:
    grants = {"h-0": ("b",), "h-1": ("a",)}
    assert policies(grants, move("h-0", "a", "b")) == {"h-0": "stagger"}


def test_generations_are_handed_back_at_once_where_no_replica_of_theirs_stays() -> None:
    grants = {"h-0": ("b",), "h-1": ("c",)}
    assert policies(grants, move("h-0", "a", "b")) == {"h-0": "hand_back"}


def test_a_replica_that_is_only_coming_is_none_that_stays() -> None:
    grants = {"h-0": ("b",), "h-1": ("a",)}
    moves = (move("h-0", "a", "b"), move("h-1", "c", "a"))
    assert policies(grants, *moves)["h-0"] == "hand_back"


def test_a_host_without_a_model_has_nothing_to_hand_back() -> None:
    grants = {"h-0": ("b",), "h-1": ()}
    assert policies(grants, move("h-0", None, "b")) == {"h-0": "hand_back"}


def test_a_host_that_is_swapped_gets_its_grant_with_the_command_and_others_before() -> None:
    moved = Move(host="h-0", from_model="a", to_model="b", reason="test", grant=("b", "c"))
    plan = Plan(
        plan_id=4,
        made_at=0,
        trigger="",
        moves=(moved,),
        grants={"h-0": ("b", "c"), "h-1": ("a", "b"), "h-2": ()},
        replicas={},
        verdicts={},
        demand={},
    )
    (order,) = orders(plan)
    assert order.command.grant == ("b", "c")
    assert grants(plan) == {"h-1": Grant(plan_id=4, models=("a", "b"))}


def test_a_shared_host_is_no_replica_to_leave_for_in_its_pace() -> None:
    shared = {"h-0": ("b",), "h-1": ("a", "b")}
    assert policies(shared, move("h-0", "a", "b")) == {"h-0": "hand_back"}
