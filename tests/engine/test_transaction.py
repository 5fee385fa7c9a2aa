"""A hotswap step by step, in the world of `host_world`: each way that it can go and end."""

from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.wire import HandedBack
from tests.engine.host_world import ask, outcome, started
from tests.engine.world import Step


def test_a_hotswap_sleeps_the_old_wakes_the_new_checks_it_and_commits() -> None:
    world = started()
    effects = ask(world, "b")
    for _ in range(3):
        world.the_step_ends(works=True)
    steps = [type(e).__name__ for e in effects if isinstance(e, Step)]
    assert steps == ["Sleep", "Wake", "Check"]
    assert outcome(effects) == "committed"
    assert world.host.awake == "b"
    assert world.host.residency.tiers["a"] == "asleep"


def test_a_new_model_that_fails_its_canary_is_stopped_and_the_old_one_serves_again() -> None:
    world = started()
    effects = ask(world, "b")
    for works in (True, True, False, True, True, True):
        world.the_step_ends(works=works)
    assert outcome(effects) == "rolled_back"
    assert (world.host.phase, world.host.awake) == ("serving", "a")
    assert world.host.residency.tiers["b"] == "disk"


def test_when_the_rollback_fails_too_the_host_says_why_and_starts_the_old_model_again() -> None:
    world = started()
    effects = ask(world, "b")
    for works in (True, False, True, False, True):
        world.the_step_ends(works=works)
    assert outcome(effects) == "failed"
    assert world.host.phase == "failed"
    assert world.host.failure is not None
    assert "wake of b failed" in world.host.failure
    assert "rollback_wake of a failed" in world.host.failure
    world.a_retry_is_due()
    world.the_step_ends(works=True)
    world.the_step_ends(works=True)
    assert (world.host.phase, world.host.awake) == ("serving", "a")


def test_a_hotswap_waits_for_what_is_not_evictable_and_then_hands_it_back() -> None:
    world = started()
    world.a_generation_arrives("a", "batch", False, 5)
    ask(world, "b")
    assert world.step is None
    assert not world.halting
    world.the_drain_is_over()
    assert world.halting == {"g1"}
    world.on_engine.clear()
    world.halting.clear()
    world.apply(ev.StreamEnded("g1", None))
    assert world.closed["g1"] == HandedBack("hotswap")
    assert isinstance(world.step, fx.Sleep)


def test_commands_are_carried_out_one_after_the_other() -> None:
    world = started()
    ask(world, "b")
    world.a_hotswap_is_asked_for("c", 1)
    assert world.host.obeyed.model == "b"
    for _ in range(3):
        world.the_step_ends(works=True)
    assert world.host.obeyed.model == "c"
    assert isinstance(world.step, fx.Sleep)


def test_what_runs_on_an_engine_that_dies_fails_retryably_and_the_engine_is_started_again() -> None:
    world = started()
    world.a_generation_arrives("a", "interactive", True, 5)
    world.the_awake_engine_dies()
    world.on_engine.clear()
    world.halting.clear()
    world.apply(ev.StreamEnded("g1", None))
    frame = world.closed["g1"]
    assert getattr(frame, "retryable", False)
    world.a_retry_is_due()
    assert isinstance(world.step, fx.Wake)
