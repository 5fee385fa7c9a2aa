"""Staggered hand-back: who leaves the old model when, and that the hotswap goes on afterwards."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.config import StateFolder
from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.engine.decisions.generation import Generation
from serving.engine.decisions.staggering import STAGGER_S, next_to_leave
from serving.wire import HandedBack, RequestClass, SwapCommand
from tests.engine.host_world import HostWorld, report_of, started
from tests.engine.test_wake_first import both_fit
from tests.fakes.generate import Reader, generate_request
from tests.fakes.host import fake_fleet, running_host


def generation(
    key: str,
    tokens: int = 100,
    request_class: RequestClass = "interactive",
    *,
    evictable: bool = True,
) -> Generation:
    return Generation(key, request_class, evictable, tokens, arrived_at=0.0)


def keys(generations: list[Generation]) -> list[str]:
    return [g.key for g in generations]


def leave_one_after_the_other(generations: list[Generation]) -> list[tuple[float, list[str]]]:
    """When each leaves, if every timer is exactly on time."""
    now, left = 0.0, []
    while True:
        leaving, after_s = next_to_leave(generations, STAGGER_S - now, 1000.0)
        left.append((now, keys(leaving)))
        for each in leaving:
            each.ending = HandedBack("hotswap")
        if after_s is None:
            return left
        now += after_s


# ---------------------------------------------------------------- who leaves when


def test_interactive_generations_leave_cheapest_first_in_the_pace_of_their_prefill() -> None:
    left = leave_one_after_the_other(
        [generation("long", 300), generation("short", 100), generation("middle", 200)]
    )
    assert left == [
        (0.0, ["short"]),
        (pytest.approx(0.1), ["middle"]),
        (pytest.approx(0.3), ["long"]),
    ]


def test_batch_leaves_with_the_last_interactive_generation() -> None:
    left = leave_one_after_the_other(
        [generation("b", 10, "batch"), generation("i1", 100), generation("i2", 200)]
    )
    assert [names for _, names in left] == [["i1"], ["b", "i2"]]


def test_batch_alone_leaves_at_once() -> None:
    leaving, after_s = next_to_leave(
        [generation(str(n), 500, "batch") for n in range(4)], STAGGER_S, 1000.0
    )
    assert (len(leaving), after_s) == (4, None)


def test_what_is_not_evictable_or_on_its_way_out_does_not_leave() -> None:
    halting = generation("halting")
    halting.ending = HandedBack("evicted")
    leaving, after_s = next_to_leave(
        [generation("fixed", evictable=False), halting], STAGGER_S, 1000.0
    )
    assert (leaving, after_s) == ([], None)


def test_when_time_is_up_all_leave() -> None:
    leaving, after_s = next_to_leave([generation(str(n)) for n in range(5)], 0.0, 1000.0)
    assert (len(leaving), after_s) == (5, None)


@given(st.lists(st.tuples(st.integers(1, 100_000), st.sampled_from(["interactive", "batch"]))))
def test_each_leaves_once_and_all_have_left_in_time(
    work: list[tuple[int, RequestClass]],
) -> None:
    generations = [generation(str(n), *each) for n, each in enumerate(work)]
    left = leave_one_after_the_other(generations)
    assert sorted(key for _, names in left for key in names) == sorted(keys(generations))
    assert left[-1][0] <= STAGGER_S * 1.0001


# ---------------------------------------------------------------- in a hotswap


def stagger(world: HostWorld) -> list[fx.Effect]:
    """Ask for a staggered hotswap to b; all effects from here on."""
    effects: list[fx.Effect] = []
    perform = world.perform

    def performed(new: list[fx.Effect]) -> None:
        effects.extend(new)
        perform(new)

    world.perform = performed  # type: ignore[method-assign]
    world.tickets.add(99)
    plan_id = world.host.obeyed.plan_id + 1
    command = SwapCommand(model="b", plan_id=plan_id, reason="test", policy="stagger")
    world.apply(ev.SwapAsked(99, command))
    return effects


def the_halted_end(world: HostWorld) -> None:
    for key in sorted(world.halting):
        world.halting.discard(key)
        del world.on_engine[key]
        world.apply(ev.StreamEnded(key, None))


def test_the_old_engine_goes_on_with_those_that_have_not_left_and_sleeps_after_the_last() -> None:
    world = started()
    for tokens in (5, 7):
        world.a_generation_arrives("a", "interactive", True, tokens)
    effects = stagger(world)
    assert world.halting == {"g1"}
    the_halted_end(world)
    assert world.step is None, "the second one still runs"
    world.the_next_may_leave()
    assert world.halting == {"g2"}
    the_halted_end(world)
    assert isinstance(world.step, fx.Sleep)
    for _ in range(3):
        world.the_step_ends(works=True)
    assert report_of(effects).handed_back == 2
    assert set(world.closed.values()) == {HandedBack("hotswap")}


def test_where_both_fit_the_new_model_serves_while_they_leave() -> None:
    world = both_fit()
    for tokens in (5, 7):
        world.a_generation_arrives("a", "interactive", True, tokens)
    stagger(world)
    world.the_step_ends(works=True)
    world.the_step_ends(works=True)
    assert (world.host.awake, len(world.halting)) == ("b", 1)
    world.a_generation_arrives("b", "interactive", True, 5)
    assert sorted(world.on_engine.values()) == ["a", "a", "b"]
    world.the_next_may_leave()
    the_halted_end(world)
    assert isinstance(world.step, fx.Sleep)


def test_one_that_ends_by_itself_meanwhile_is_not_handed_back() -> None:
    world = started()
    for tokens in (5, 7):
        world.a_generation_arrives("a", "interactive", True, tokens)
    effects = stagger(world)
    the_halted_end(world)
    del world.on_engine["g2"]
    world.apply(ev.StreamEnded("g2", None))
    for _ in range(3):
        world.the_step_ends(works=True)
    world.the_next_may_leave()
    assert report_of(effects).handed_back == 1
    assert world.host.awake == "b"


# ---------------------------------------------------------------- over HTTP


def test_a_staggered_hotswap_hands_every_generation_back(tmp_path: Path) -> None:
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    with running_host(fleet, StateFolder(tmp_path), "host-0") as host:
        host.engines.gate.close()
        requests = [generate_request(f"r{n}", "a") for n in range(2)]
        readers = [Reader(host.url, host.token, request) for request in requests]
        for reader in readers:
            reader.until(lambda r: r.admitted)
        command = SwapCommand(model="b", plan_id=1, reason="test", policy="stagger")
        with host.client() as client:
            report = client.swap(command)
        assert [reader.end() for reader in readers] == [HandedBack("hotswap")] * 2
    assert (report.outcome, report.handed_back) == ("committed", 2)
