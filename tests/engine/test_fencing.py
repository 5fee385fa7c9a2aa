"""Which hotswap commands are obeyed."""

from msgspec.structs import replace

from serving.engine.decisions.fencing import ObeyedPlan, refusal, repeats
from serving.wire import Grant, SwapCommand, SwapReport

MODELS = frozenset({"a", "b"})
REPORT = SwapReport(
    host="host-0",
    plan_id=5,
    from_model="b",
    to_model="a",
    outcome="committed",
    from_tier="asleep",
    total_s=1.0,
    phases_s={},
    handed_back=0,
)
OBEYED = ObeyedPlan(5, "a", REPORT)


def command(model: str, plan_id: int, expected: str | None = None) -> SwapCommand:
    return SwapCommand(model=model, plan_id=plan_id, reason="test", expected_awake=expected)


def refused(asked: SwapCommand) -> str | None:
    return refusal(asked, OBEYED, awake="a", models=MODELS)


def test_a_newer_plan_is_obeyed() -> None:
    assert refused(command("b", 6)) is None
    assert not repeats(command("b", 6), OBEYED)


def test_an_older_plan_is_refused_and_named() -> None:
    assert refused(command("a", 4)) == "plan 4 is older than plan 5, already obeyed"


def test_the_same_plan_and_model_is_a_repeat() -> None:
    assert refused(command("a", 5)) is None
    assert repeats(command("a", 5), OBEYED)


def test_a_repeat_is_answered_whatever_is_awake_meanwhile() -> None:
    assert refusal(command("a", 5, "b"), OBEYED, awake="a", models=MODELS) is None


def test_the_same_plan_with_another_model_is_refused() -> None:
    assert refused(command("b", 5)) == "plan 5 was obeyed with 'a', not 'b'"


def test_a_command_that_expects_another_awake_model_is_refused() -> None:
    assert refused(command("b", 6, "b")) == "'a' is awake, not 'b'"
    assert refused(command("b", 6, "a")) is None


def test_an_unknown_model_is_refused() -> None:
    assert refused(command("c", 6)) == "there is no model 'c' in this host's registry"


def test_a_plan_whose_execution_was_cut_short_is_carried_out_when_repeated() -> None:
    assert not repeats(command("a", 5), ObeyedPlan(5, "a", None))


def test_models_that_the_registry_has_no_more_leave_a_remembered_grant() -> None:
    remembered = ObeyedPlan(grant=Grant(plan_id=3, models=("gone", "a")))
    assert remembered.known(MODELS).granted == ("a",)
    assert remembered.known(frozenset({"b"})).granted == ()


def test_a_switch_within_the_grant_since_the_plan_was_made_is_expected() -> None:
    shared = ObeyedPlan(5, "a", REPORT, Grant(plan_id=5, models=("a", "b")))
    assert refusal(command("a", 6, "b"), shared, awake="a", models=MODELS) is None


def test_a_host_begins_as_the_fleet_file_says_else_as_planned() -> None:
    assert ObeyedPlan(5, "b").first_model("a", MODELS) == "a"
    assert ObeyedPlan(5, "b").first_model(None, MODELS) == "b"
    assert ObeyedPlan(5, "gone").first_model(None, MODELS) is None


def test_a_host_that_shares_its_time_begins_with_what_it_had_last_of_its_grant() -> None:
    shared = ObeyedPlan(5, "a", REPORT, Grant(plan_id=5, models=("a", "b")))
    assert shared.first_model("b", MODELS) == "a"
    assert replace(shared, switched_to="b").first_model("a", MODELS) == "b"
    outside = ObeyedPlan(grant=Grant(plan_id=5, models=("a", "b")), switched_to="c")
    assert outside.first_model("c", MODELS) == "a"


def test_a_planned_hotswap_ends_what_was_switched_to() -> None:
    switched = ObeyedPlan(5, "a", REPORT, Grant(plan_id=5, models=("a", "b")), "b")
    assert switched.swapped(command("a", 6)).first_model("b", MODELS) == "a"
