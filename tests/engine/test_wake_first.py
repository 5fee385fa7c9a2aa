"""Where two models fit at once: the new one wakes first, and the switch is instant."""

from pathlib import Path

from serving.config import Fleet, StateFolder
from serving.engine.assembly import HostOptions
from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.engine.decisions.residency import Residency
from serving.wire import Finished, HandedBack, SwapReport
from tests.engine.asking import swap
from tests.engine.host_world import HostWorld, ask, outcome, report_of, started
from tests.engine.world import Step
from tests.fakes.engine import FakeEngines
from tests.fakes.generate import Reader, generate_request
from tests.fakes.host import FakeHost, fake_fleet, running_host, wait_until

GIB = 1024**3
OPTIONS = HostOptions(prewarm_after_s=None, drain_s=0.2, sample_s=0.05)


def both_fit(first: str = "a", other: str = "b") -> HostWorld:
    """A host that serves `first` and has `other` asleep, measured, with memory for both."""
    world = started(other, device=40)
    ask(world, first)
    for _ in range(3):
        world.the_step_ends(works=True)
    world.memory_is_measured()
    assert world.host.awake == first
    return world


def steps(effects: list[fx.Effect]) -> list[tuple[str, str]]:
    return [(type(e).__name__, e.model) for e in effects if isinstance(e, Step)]


def test_the_new_model_is_awake_and_checked_before_the_old_one_sleeps() -> None:
    world = both_fit()
    effects = ask(world, "b")
    assert (world.host.phase, world.host.awake, world.host.swap_target) == ("serving", "a", "b")
    for _ in range(3):
        world.the_step_ends(works=True)
    assert steps(effects) == [("Wake", "b"), ("Check", "b"), ("Sleep", "a")]
    report = report_of(effects)
    assert (report.outcome, report.service_gap_s) == ("committed", 0.0)
    assert list(report.phases_s) == ["wake", "canary", "hand_back", "sleep"]
    assert world.host.residency.tiers == {"a": "asleep", "b": "awake", "c": "disk"}


def test_generations_are_handed_back_only_at_the_switch() -> None:
    world = both_fit()
    world.a_generation_arrives("a", "interactive", True, 5)
    ask(world, "b")
    world.a_generation_arrives("a", "interactive", True, 5)
    world.the_step_ends(works=True)
    assert not world.halting
    assert len(world.on_engine) == 2
    world.the_step_ends(works=True)
    assert world.halting == {"g2", "g4"}
    assert world.host.awake == "b"


def test_the_new_model_admits_while_the_old_one_drains() -> None:
    world = both_fit()
    world.a_generation_arrives("a", "batch", False, 5)
    ask(world, "b")
    world.the_step_ends(works=True)
    world.the_step_ends(works=True)
    world.a_generation_arrives("b", "interactive", True, 5)
    assert sorted(world.on_engine.values()) == ["a", "b"]
    assert world.step is None, "the old engine still runs a generation"
    world.the_drain_is_over()
    (old,) = world.halting
    del world.on_engine[old]
    world.apply(ev.StreamEnded(old, None))
    assert world.closed[old] == HandedBack("hotswap")
    assert isinstance(world.step, fx.Sleep)


def test_a_new_model_that_fails_costs_the_old_one_nothing() -> None:
    world = both_fit()
    world.a_generation_arrives("a", "interactive", True, 5)
    effects = ask(world, "b")
    for works in (True, False, True):
        world.the_step_ends(works=works)
    assert outcome(effects) == "rolled_back"
    assert report_of(effects).service_gap_s == 0.0
    assert (world.host.phase, world.host.awake) == ("serving", "a")
    assert not world.halting


def test_an_old_model_that_dies_while_the_new_one_wakes_is_a_gap_until_the_new_one_serves() -> None:
    world = both_fit()
    effects = ask(world, "b")
    world.the_awake_engine_dies()
    assert (world.host.phase, world.host.awake) == ("swapping", None)
    world.the_step_ends(works=True)
    world.the_step_ends(works=True)
    report = report_of(effects)
    assert report.outcome == "committed"
    assert report.service_gap_s > 0
    assert (world.host.phase, world.host.awake) == ("serving", "b")


def test_a_new_model_that_dies_after_the_switch_is_started_again_once_the_old_one_sleeps() -> None:
    world = both_fit()
    ask(world, "b")
    world.the_step_ends(works=True)
    world.the_step_ends(works=True)
    world.the_awake_engine_dies()
    assert world.host.phase == "failed"
    world.the_step_ends(works=True)
    world.a_retry_is_due()
    assert isinstance(world.step, fx.Wake)
    assert world.step.model == "b"


# ---------------------------------------------------------------- what fits


def measured(budget: int, device: int | None) -> Residency:
    held = Residency(
        ["a", "b", "c"], budget_bytes=budget, device_bytes=device, kv_cache_bytes={"a": 2, "b": 3}
    )
    held.set_tier("b", "asleep")
    held.set_tier("c", "asleep")
    held.set_tier("a", "awake")
    held.measured({"a": 4, "b": 5, "c": 7})
    return held


def test_two_fit_by_their_measured_memory_and_their_whole_kv_caches() -> None:
    assert measured(100, 14).fits_beside("b", "a")
    assert not measured(100, 13).fits_beside("b", "a")


def test_without_a_device_budget_they_share_the_host_budget_with_the_engines_beside() -> None:
    assert measured(22, None).fits_beside("b", "a")
    assert not measured(20, None).fits_beside("b", "a")


def test_a_model_never_measured_does_not_fit() -> None:
    held = Residency(["a", "b"], budget_bytes=100, device_bytes=100)
    held.set_tier("a", "awake")
    held.measured({"a": 1})
    assert not held.fits_beside("b", "a")


def test_a_measurement_taken_before_a_change_of_tier_counts_for_nothing() -> None:
    held = Residency(["a", "b"], budget_bytes=100, device_bytes=100)
    before = held.changes
    held.set_tier("a", "awake")
    held.set_tier("b", "asleep")
    held.measured({"a": 1, "b": 1}, before)
    assert not held.fits_beside("b", "a")
    held.measured({"a": 1, "b": 1}, held.changes)
    assert held.fits_beside("b", "a")


# ---------------------------------------------------------------- over HTTP


def with_device_memory(gib: float) -> Fleet:
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    (host,) = fleet.hosts
    return fleet.model_copy(update={"hosts": [host.model_copy(update={"device_memory_gib": gib})]})


def of_a_gib() -> FakeEngines:
    """Engines that hold so much from the first measurement on."""
    return FakeEngines(asleep_bytes={"a": GIB, "b": GIB})


def swapped_there_and_back(host: FakeHost) -> SwapReport:
    """The second swap's report: of b, asleep and measured, where a is awake."""
    swap(host, "b", 1)
    swap(host, "a", 2)
    assert host.host is not None
    residency = host.host.owner.decisions.residency
    wait_until(lambda: residency.memory_bytes == {"a": GIB, "b": GIB})
    wait_until(lambda: residency.may_move)  # it was measured since the last swap
    return swap(host, "b", 3)


def test_a_host_with_memory_for_both_has_no_gap(tmp_path: Path) -> None:
    with running_host(
        with_device_memory(4.5),
        StateFolder(tmp_path),
        "host-0",
        engines=of_a_gib(),
        options=OPTIONS,
    ) as host:
        report = swapped_there_and_back(host)
        assert list(report.phases_s) == ["wake", "canary", "hand_back", "sleep"]
        assert report.service_gap_s == 0.0
        assert host.engines.awake() == ["b"]
        reader = Reader(host.url, host.token, generate_request("r", "b"))
        assert reader.end() == Finished("length")


def test_a_host_without_memory_for_both_lets_the_old_model_sleep_first(tmp_path: Path) -> None:
    with running_host(
        with_device_memory(3.5),
        StateFolder(tmp_path),
        "host-0",
        engines=of_a_gib(),
        options=OPTIONS,
    ) as host:
        report = swapped_there_and_back(host)
        assert list(report.phases_s) == ["hand_back", "sleep", "wake", "canary"]
        assert report.service_gap_s > 0.0
