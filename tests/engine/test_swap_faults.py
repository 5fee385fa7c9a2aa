"""What can go wrong in a hotswap: afterwards the host serves, or says why not; nothing is lost.

Fake engines under the real host, over HTTP. In the order `wake_first` both models fit at once.
"""

import ast
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest

import serving.engine.decisions
from analytics.events import Swap
from serving.config import StateFolder
from serving.engine.assembly import HostOptions
from serving.errors import HostError, PlanRefused
from serving.wire import Failed, Finished, HandedBack, SwapReport
from tests.engine.asking import read, state, swap
from tests.fakes.engine import Step
from tests.fakes.host import FakeHost, ListSink, fake_fleet, running_host, wait_until

GIB = 1024**3
Order = Literal["sleep_first", "wake_first"]
ORDERS: list[Order] = ["sleep_first", "wake_first"]
OPTIONS = HostOptions(prewarm_after_s=None, drain_s=0.2, sample_s=0.05)


def recorded(host: FakeHost, plan_id: int) -> Swap:
    """What the store was told of a plan."""
    assert isinstance(host.sink, ListSink)
    (event,) = [e for e in host.sink.events if isinstance(e, Swap) and e.plan_id == plan_id]
    return event


@pytest.fixture(params=ORDERS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeHost]:
    """A host that serves a and has b asleep; the next plan is 3."""
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    gib = 1 if request.param == "sleep_first" else 100
    settings = fleet.hosts[0].model_copy(update={"device_memory_gib": gib})
    fleet = fleet.model_copy(update={"hosts": [settings]})
    with running_host(fleet, StateFolder(tmp_path), "host-0", options=OPTIONS) as running:
        running.engines.asleep_bytes |= {"a": GIB, "b": GIB}
        swap(running, "b", 1)
        swap(running, "a", 2)
        assert running.host is not None
        residency = running.host.owner.decisions.residency
        expected = request.param == "wake_first"
        wait_until(lambda: residency.memory_bytes == {"a": GIB, "b": GIB})
        wait_until(lambda: residency.may_move)  # it was measured since the last swap
        wait_until(lambda: residency.fits_beside("b", "a") == expected)
        yield running


def swap_under_load(host: FakeHost) -> SwapReport:
    """Plan 3, a to b, with generations running; each of them must be told its end."""
    host.engines.gate.close()
    readers = [read(host, f"r{i}", "a").until(lambda r: r.admitted) for i in range(2)]
    report = swap(host, "b", 3)
    host.engines.gate.open()
    for reader in readers:
        match reader.end():
            case Failed(retryable=retryable):
                assert retryable
            case frame:
                assert frame == HandedBack("hotswap") or isinstance(frame, Finished)
    return report


def check_it_serves(host: FakeHost) -> None:
    wait_until(host.serves)
    wait_until(lambda: state(host).swap_target is None)
    awake = state(host).awake_model
    assert awake is not None
    assert host.engines.awake() == [awake]
    assert read(host, "after", awake).end() == Finished("length")


def check_the_record(host: FakeHost, report: SwapReport) -> None:
    record = recorded(host, report.plan_id)
    assert (record.outcome, record.error) == (report.outcome, report.error)
    assert record.phases_s == report.phases_s


# ---------------------------------------------------------------- an engine is killed


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("model", "step"), [("a", "sleep"), ("b", "wake"), ("b", "canary"), ("a", "wake")]
)
def test_an_engine_killed_in_any_phase(
    host: FakeHost, model: str, step: Step, when: Literal["before", "after"]
) -> None:
    host.engines.kill_in[model, step] = when
    if (model, step) == ("a", "wake"):  # in the rollback
        host.engines.fail_next["b", "wake"] = "no"
    report = swap_under_load(host)
    check_it_serves(host)
    check_the_record(host, report)
    if model == "a" and step == "sleep":
        assert report.outcome == "committed", "the old engine is not needed any more"
    elif when == "before":
        assert report.outcome in ("rolled_back", "failed")
        assert report.error


def test_the_serving_engine_killed_while_the_other_one_is_loaded(tmp_path: Path) -> None:
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    with (
        running_host(fleet, StateFolder(tmp_path), "host-0", options=OPTIONS) as host,
        ThreadPoolExecutor(1) as p,
    ):
        host.engines.start_s = 3600.0
        loading = p.submit(lambda: host.client().change_tier("b", "asleep"))
        wait_until(lambda: state(host).moving is not None)
        host.engines.kill("a")
        wait_until(lambda: not host.serves())
        host.engines.start_s = 0.0
        assert loading.result().tier == "asleep"
        check_it_serves(host)


# ---------------------------------------------------------------- a step fails


@pytest.mark.parametrize("step", ["wake", "canary"])
def test_out_of_memory_rolls_back_and_says_so(host: FakeHost, step: Step) -> None:
    host.engines.fail_next["b", step] = "out of memory"
    report = swap_under_load(host)
    assert report.outcome == "rolled_back"
    assert "out of memory" in (report.error or "")
    assert state(host).awake_model == "a"
    check_it_serves(host)
    check_the_record(host, report)


def test_a_canary_that_differs_rolls_back_and_a_fresh_start_mends_it(host: FakeHost) -> None:
    host.engines.canary_shift["b"] = 1
    report = swap_under_load(host)
    assert report.outcome == "rolled_back"
    assert "the canary gave" in (report.error or "")
    assert state(host).tiers["b"] == "disk", "an engine that is not to be trusted is stopped"
    check_it_serves(host)
    check_the_record(host, report)
    host.engines.canary_shift.clear()
    assert swap(host, "b", 4).outcome == "committed"


# ---------------------------------------------------------------- the host is killed


def test_a_host_killed_in_a_hotswap_knows_the_plan_and_carries_it_out_when_asked_again(
    tmp_path: Path,
) -> None:
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    with (
        running_host(fleet, StateFolder(tmp_path), "host-0", options=OPTIONS) as host,
        ThreadPoolExecutor(1) as p,
    ):
        host.engines.start_s = 3600.0  # b is loading when the host is killed
        answer = p.submit(swap, host, "b", 7)
        wait_until(lambda: state(host).swap_target == "b")
        host.kill()
        assert isinstance(answer.exception(), HostError)
        host.engines.start_s = 0.0
        host.restart()
        assert state(host).plan_id == 7
        check_it_serves(host)
        with pytest.raises(PlanRefused, match="older"):
            swap(host, "a", 6)
        assert swap(host, "b", 7).outcome == "committed"
        assert recorded(host, 7).outcome == "committed"


# ---------------------------------------------------------------- two controllers


def test_two_controllers_at_once_are_serialised_and_the_newest_plan_wins(host: FakeHost) -> None:
    refusals: list[str] = []

    def control(model: str, plans: range) -> list[SwapReport]:
        reports = []
        for plan in plans:
            try:
                reports.append(swap(host, model, plan))
            except PlanRefused as refused:
                refusals.append(refused.what)
        return reports

    with ThreadPoolExecutor(2) as pool:
        both = pool.map(control, ("a", "b"), (range(10, 30, 2), range(11, 31, 2)))
        done = sorted((r for reports in both for r in reports), key=lambda r: r.plan_id)
    assert all("older than" in refusal for refusal in refusals)
    now = state(host)
    assert now.plan_id == done[-1].plan_id
    assert now.awake_model == done[-1].to_model
    assert isinstance(host.sink, ListSink)
    carried_out = [event.plan_id for event in host.sink.events if isinstance(event, Swap)]
    assert carried_out == sorted(set(carried_out)), "one after the other, and none twice"
    check_it_serves(host)


# ---------------------------------------------------------------- clocks


def test_a_wall_clock_that_jumps_changes_nothing(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = iter([1e9, 0.0, 2e9, -5.0] * 10_000)
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    report = swap_under_load(host)
    assert report.outcome == "committed"
    assert 0 <= report.total_s < 60
    assert all(0 <= seconds < 60 for seconds in report.phases_s.values())
    check_it_serves(host)


def test_decisions_read_no_clock() -> None:
    (folder,) = serving.engine.decisions.__path__
    for module in Path(folder).glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            origin = node.module if isinstance(node, ast.ImportFrom) else None
            assert not {"time", "datetime"} & {*names, origin}, module.name
