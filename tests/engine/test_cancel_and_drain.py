"""Withdrawing a hotswap before it fences, and how generations leave the old model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.config import StateFolder
from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.errors import HostError, PlanRefused
from serving.wire import HandedBack, SwapCommand, SwapPolicy
from tests.engine.host_world import HostWorld, ask, outcome, report_of, started
from tests.engine.test_wake_first import both_fit, steps
from tests.fakes.generate import Reader, generate_request
from tests.fakes.host import FakeHost, fake_fleet, running_host


def cancel(world: HostWorld, plan_id: int) -> str | None:
    """Cancel; None, or why that is refused."""
    world.tickets.add(-1)
    effects = world.host.apply(ev.CancelAsked(-1, plan_id), world.now)
    world.perform(effects)
    (answer,) = [e for e in effects if isinstance(e, fx.Answer) and e.ticket == -1]
    return answer.refusal


# ---------------------------------------------------------------- cancelling


def test_a_command_that_waits_for_its_turn_is_withdrawn() -> None:
    world = started()
    ask(world, "b")
    world.tickets.add(99)
    world.apply(ev.SwapAsked(99, SwapCommand(model="c", plan_id=7, reason="test")))
    assert cancel(world, 7) is None
    assert 99 not in world.tickets, "who asked is told"
    for _ in range(3):
        world.the_step_ends(works=True)
    assert (world.host.awake, world.step) == ("b", None)


def test_a_hotswap_that_wakes_first_is_cancelled_and_its_model_put_back() -> None:
    world = both_fit()
    effects = ask(world, "b")
    assert cancel(world, world.host.obeyed.plan_id) is None
    world.the_step_ends(works=True)
    world.the_step_ends(works=True)
    assert steps(effects) == [("Wake", "b"), ("Sleep", "b")]
    report = report_of(effects)
    assert (report.outcome, report.service_gap_s) == ("cancelled", 0.0)
    assert (world.host.phase, world.host.awake) == ("serving", "a")
    assert world.host.residency.tiers["b"] == "asleep"


def test_a_cancelled_model_that_will_not_sleep_is_stopped() -> None:
    world = both_fit()
    effects = ask(world, "b")
    cancel(world, world.host.obeyed.plan_id)
    for works in (True, False, True):
        world.the_step_ends(works=works)
    assert outcome(effects) == "cancelled"
    assert world.host.residency.tiers["b"] == "disk"


def test_a_hotswap_that_has_fenced_is_not_cancelled() -> None:
    world = started()
    effects = ask(world, "b")
    assert "has fenced" in (cancel(world, world.host.obeyed.plan_id) or "")
    for _ in range(3):
        world.the_step_ends(works=True)
    assert outcome(effects) == "committed"


def test_a_hotswap_that_was_switched_is_not_cancelled() -> None:
    world = both_fit()
    ask(world, "b")
    world.the_step_ends(works=True)
    world.the_step_ends(works=True)
    assert "has fenced" in (cancel(world, world.host.obeyed.plan_id) or "")


def test_a_plan_that_is_not_there_is_not_cancelled() -> None:
    assert "no hotswap of plan 5" in (cancel(started(), 5) or "")


def test_a_cancelled_hotswap_is_carried_out_after_all_when_the_old_engine_dies() -> None:
    world = both_fit()
    effects = ask(world, "b")
    cancel(world, world.host.obeyed.plan_id)
    world.the_awake_engine_dies()
    world.the_step_ends(works=True)
    world.the_step_ends(works=True)
    assert outcome(effects) == "committed"
    assert world.host.awake == "b"


# ---------------------------------------------------------------- draining


def asked_to(world: HostWorld, policy: SwapPolicy, drain_s: float | None) -> list[fx.Effect]:
    command = SwapCommand(model="b", plan_id=1, reason="test", policy=policy, drain_s=drain_s)
    world.tickets.add(99)
    effects = world.host.apply(ev.SwapAsked(99, command), world.now)
    world.perform(effects)
    return effects


def test_draining_lets_evictable_generations_end_and_hands_back_those_that_wait() -> None:
    world = started()
    for _ in range(5):
        world.a_generation_arrives("a", "interactive", True, 5)
    effects = asked_to(world, "drain", 20.0)
    assert [e.after_s for e in effects if isinstance(e, fx.DrainTimer)] == [20.0]
    assert world.closed == {"g5": HandedBack("hotswap")}
    assert not world.halting
    world.the_drain_is_over()
    assert world.halting == {"g1", "g2", "g3", "g4"}


def test_handing_back_gives_only_what_is_not_evictable_the_time_it_was_given() -> None:
    world = started()
    world.a_generation_arrives("a", "interactive", True, 5)
    world.a_generation_arrives("a", "interactive", False, 5)
    effects = asked_to(world, "hand_back", 3.0)
    assert [e.after_s for e in effects if isinstance(e, fx.DrainTimer)] == [3.0]
    assert world.halting == {"g1"}


def test_what_is_held_and_not_evictable_goes_on_while_the_old_model_drains() -> None:
    world = started()
    for _ in range(4):
        world.a_generation_arrives("a", "batch", False, 5)
    world.a_generation_arrives("a", "interactive", True, 5)
    assert len(world.held) == 3
    asked_to(world, "hand_back", 3.0)
    assert world.halting == {"g5"}
    assert len(world.held) == 1, "the interactive one still has its slot"
    del world.on_engine["g5"]
    world.apply(ev.StreamEnded("g5", None))
    assert not world.held
    world.the_drain_is_over()
    assert world.halting >= {"g1", "g2", "g3", "g4"}


def test_what_is_held_goes_on_on_the_old_engine_when_the_new_one_takes_over() -> None:
    world = both_fit()
    for _ in range(4):
        world.a_generation_arrives("a", "batch", False, 5)
    world.a_generation_arrives("a", "interactive", False, 5)
    assert world.told["a"].held == world.held != set()
    ask(world, "b")
    world.the_step_ends(works=True)
    world.the_step_ends(works=True)
    assert world.host.awake == "b"
    assert (world.told["a"].held, world.held) == (frozenset(), set())


# ---------------------------------------------------------------- over HTTP


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FakeHost]:
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    with running_host(fleet, StateFolder(tmp_path), "host-0") as running:
        yield running


def test_cancelling_nothing_is_refused_by_name(host: FakeHost) -> None:
    with host.client() as client, pytest.raises(PlanRefused, match="no hotswap of plan 3"):
        client.cancel(3)


def test_a_drain_is_bounded(host: FakeHost) -> None:
    with host.client() as client, pytest.raises(HostError, match="drain_s"):
        client.swap(SwapCommand(model="b", plan_id=1, reason="test", drain_s=1e6))


def test_a_generation_that_ends_while_its_model_drains_ends_as_ever(host: FakeHost) -> None:
    host.engines.gate.close()
    reader = Reader(host.url, host.token, generate_request("r", "a", max_tokens=5))
    reader.until(lambda r: r.admitted)
    host.engines.gate.open()
    with host.client() as client:
        command = SwapCommand(model="b", plan_id=1, reason="test", policy="drain", drain_s=60)
        assert client.swap(command).handed_back == 0
    assert len(reader.tokens) == 5
