"""Prefetch and demote: a tier asked for is reached, refused by name, or reported as missed."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.config import StateFolder
from serving.engine.assembly import HostOptions
from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.engine.decisions.effects import Move
from serving.engine.decisions.residency import Residency
from serving.engine.decisions.silence import Patience
from serving.engine.engines import Engines
from serving.engine.protocol import EngineFailed
from serving.engine.vigil import Vigil
from serving.errors import HostError, PlanRefused
from serving.wire import IdleTier, SwapCommand, TierMove, TierReport
from tests.engine.asking import state
from tests.engine.host_world import HostWorld, ask, started
from tests.fakes.engine import FakeEngines
from tests.fakes.host import FakeHost, fake_fleet, running_host, wait_until

GIB = 1024**3
OPTIONS = HostOptions(prewarm_after_s=None, drain_s=0.2, sample_s=0.05)


def asked(world: HostWorld, model: str, tier: IdleTier) -> list[fx.Effect]:
    world.count += 1
    world.tickets.add(world.count)
    effects = world.host.apply(ev.TierAsked(world.count, model, tier, world.now), world.now)
    world.perform(effects)
    return effects


def serving() -> HostWorld:
    world = started(budget=30)
    world.memory_is_measured()
    return world


def test_one_tier_after_the_other() -> None:
    world = serving()
    asked(world, "b", "asleep")
    asked(world, "c", "parked")
    assert world.move == Move("b", "asleep")
    assert world.host.residency.moving == TierMove("b", "asleep")
    assert world.host.tier_requests.wanted() == [TierMove("c", "parked")]
    world.the_move_ends(works=True)
    world.memory_is_measured()
    assert world.move == Move("c", "parked")


def test_what_was_sent_to_disk_is_not_prewarmed_again() -> None:
    world = serving()
    world.prewarming_is_allowed()
    world.the_move_ends(works=True)
    world.memory_is_measured()
    world.the_move_ends(works=True)
    world.memory_is_measured()
    asked(world, "b", "disk")
    world.the_move_ends(works=True)
    world.memory_is_measured()
    assert world.move is None


def test_a_request_waits_while_a_hotswap_is_under_way() -> None:
    world = serving()
    ask(world, "b")
    asked(world, "c", "asleep")
    assert world.move is None
    for _ in range(3):
        world.the_step_ends(works=True)
    world.memory_is_measured()
    assert world.move == Move("c", "asleep")


def test_a_model_that_has_woken_before_its_turn_is_refused() -> None:
    world = serving()
    ask(world, "b")
    tier = asked(world, "b", "parked")
    assert not [e for e in tier if isinstance(e, fx.Answer)]
    for _ in range(3):
        world.the_step_ends(works=True)
    world.memory_is_measured()
    assert world.move is None
    assert not world.tickets


def test_what_was_measured_half_way_is_not_what_a_tier_holds() -> None:
    world = serving()
    asked(world, "b", "parked")
    before = dict(world.host.residency.memory_bytes)
    world.apply(ev.Measured({"a": 1, "b": 99}, world.host.residency.changes))
    assert world.host.residency.memory_bytes == before


def test_what_does_not_fit_is_refused_with_its_sizes() -> None:
    held = Residency(["a", "b", "c"], budget_bytes=4 * GIB, kv_cache_bytes={"b": GIB})
    held.set_tier("b", "asleep")
    held.set_tier("c", "asleep")
    held.measured({"b": 2 * GIB, "c": 3 * GIB})
    held.set_tier("b", "disk")
    held.measured({"c": 3 * GIB})
    assert held.shortage("b") == "b needs 3.00 GiB to load, 1.00 GiB of 4.00 GiB are free"


# ---------------------------------------------------------------- over HTTP


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FakeHost]:
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    with running_host(fleet, StateFolder(tmp_path), "host-0", options=OPTIONS) as running:
        yield running


def change(host: FakeHost, model: str, tier: IdleTier) -> TierReport:
    with host.client() as client:
        return client.change_tier(model, tier)


def test_a_model_goes_up_and_down_through_the_tiers(host: FakeHost) -> None:
    wanted: list[IdleTier] = ["asleep", "parked", "asleep", "disk", "parked"]
    before = "disk"
    for tier in wanted:
        report = change(host, "b", tier)
        assert (report.from_tier, report.tier, report.error) == (before, tier, None)
        assert state(host).tiers["b"] == tier
        before = tier
    assert host.engines.awake() == ["a"]


def test_a_prefetched_model_is_swapped_in_from_its_tier(host: FakeHost) -> None:
    change(host, "b", "parked")
    with host.client() as client:
        report = client.swap(SwapCommand(model="b", plan_id=1, reason="test"))
    assert (report.outcome, report.from_tier) == ("committed", "parked")


def test_progress_is_in_the_hosts_state(tmp_path: Path) -> None:
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    with running_host(fleet, StateFolder(tmp_path), "host-0", options=OPTIONS) as host:
        host.engines.start_s = 3600.0  # the host is killed while it loads
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(change, host, "b", "asleep")
            wait_until(lambda: state(host).moving == TierMove("b", "asleep"))
            host.kill()
            assert isinstance(answer.exception(), HostError)


def test_a_model_that_cannot_be_loaded_is_reported_and_stays_on_disk(host: FakeHost) -> None:
    host.engines.fail_next["b", "canary"] = "damaged"
    report = change(host, "b", "asleep")
    assert report.tier == "disk"
    assert "damaged" in (report.error or "")
    wait_until(lambda: "b" not in host.engines.alive)
    assert host.serves()


def test_the_awake_model_an_unknown_one_and_one_too_large_are_refused(host: FakeHost) -> None:
    with pytest.raises(PlanRefused, match="a is awake"):
        change(host, "a", "parked")
    with pytest.raises(PlanRefused, match="no model 'z'"):
        change(host, "z", "parked")
    host.engines.asleep_bytes["a"] = 2**40
    assert host.host is not None
    residency = host.host.owner.decisions.residency
    wait_until(lambda: residency.memory_bytes == {"a": 2**40})
    with pytest.raises(PlanRefused, match=r"b needs 1024\.00 GiB to load, 8\.00 GiB of 8\.00 GiB"):
        change(host, "b", "asleep")


def test_awake_is_not_a_tier_to_ask_for(host: FakeHost) -> None:
    with pytest.raises(HostError, match="Invalid enum"):
        change(host, "b", "awake")  # type: ignore[arg-type]


def test_a_hotswap_that_waits_for_a_move_that_fails_starts_the_engine_afresh() -> None:
    made = FakeEngines()
    fleet = fake_fleet(["b"], {"host-0": "b"})

    async def scenario() -> None:
        vigil = Vigil(Patience(), lambda _hung: None)
        engines = Engines(fleet.models, made, on_lost=lambda _model, _reason: None, vigil=vigil)
        await engines.move("b", "asleep", lambda: None)
        made.fail_next["b", "sleep"] = "no"
        moved, woken = await asyncio.gather(
            engines.move("b", "parked", lambda: None), engines.wake("b"), return_exceptions=True
        )
        assert isinstance(moved, EngineFailed)
        assert woken is None
        assert made.awake() == ["b"]
        await engines.stop_all()

    asyncio.run(scenario())
    assert made.log.count(("b", "start")) == 2
