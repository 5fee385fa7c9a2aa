"""An engine that hangs is ended, its work told to go on elsewhere, and its model brought back.

Fake engines under the real host, over HTTP. Its watch over engines is made to count by the test.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from serving.config import StateFolder
from serving.engine.assembly import HostOptions
from serving.engine.decisions.silence import PULSE_EVERY_S, Patience
from serving.engine.vigil import Vigil
from serving.wire import Failed, Finished, HandedBack, Held, Tokens
from tests.engine.asking import read, state, swap
from tests.fakes.engine import FakeEngine, FakeEngines, Step
from tests.fakes.host import FakeHost, fake_fleet, running_host, wait_until

ANSWER_S, COMMAND_S = 30.0, 200.0
OPTIONS = HostOptions(prewarm_after_s=None, drain_s=0.2, keeps_vigil=False)
UNTIL_FOUND_S = ANSWER_S + 10.0
"""By then one that hangs and has no command is found."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FakeHost]:
    """A host that serves a."""
    fleet = fake_fleet(["a", "b"], {"host-0": "a"})
    limits = {"hung_after_s": ANSWER_S, "command_limit_s": COMMAND_S, "device_memory_gib": 1}
    fleet = fleet.model_copy(update={"hosts": [fleet.hosts[0].model_copy(update=limits)]})
    with running_host(fleet, StateFolder(tmp_path), "host-0", options=OPTIONS) as running:
        yield running


def hung(host: FakeHost) -> dict[str, float]:
    """How many engines hung, says its metrics, by model and by what they were to do."""
    lines = httpx.get(f"{host.url}/metrics", timeout=60).text.splitlines()
    found = [line for line in lines if line.startswith("turntable_engines_hung_total{")]
    counts = {}
    for line in found:
        labels, count = line.rsplit(" ", 1)
        model, was_to = (part.split('"')[1] for part in labels.split(","))
        counts[f"{model} {was_to}"] = float(count)
    return counts


def check_it_serves(host: FakeHost) -> None:
    wait_until(host.serves)
    awake = state(host).awake_model
    assert awake is not None
    assert host.engines.awake() == [awake]
    assert read(host, "after", awake).end() == Finished("length")


# ---------------------------------------------------------------- an engine that serves


def test_what_ran_on_an_engine_that_hangs_fails_retryably_and_the_model_comes_back(
    host: FakeHost,
) -> None:
    host.engines.gate.close()
    running = [
        read(host, f"r{i}", request_class="batch" if i else "interactive").until(
            lambda r: r.admitted
        )
        for i in range(2)
    ]
    before = host.engines.alive["a"]

    host.engines.hang("a")
    host.let_pass(UNTIL_FOUND_S)

    for frame in [reader.end() for reader in running]:
        assert isinstance(frame, Failed)
        assert frame.retryable
        assert "it answered nothing for 30 s" in frame.message
    host.engines.gate.open()
    check_it_serves(host)
    assert host.engines.alive["a"] is not before
    assert hung(host) == {"a answer": 1.0}


def test_what_waited_behind_an_engine_that_hangs_is_handed_back(host: FakeHost) -> None:
    host.engines.gate.close()
    running = [read(host, f"r{i}").until(lambda r: r.admitted) for i in range(4)]
    waiting = read(host, "w")
    wait_until(lambda: state(host).waiting.interactive == 1)
    host.engines.hang("a")
    host.let_pass(UNTIL_FOUND_S)
    assert waiting.end() == HandedBack("not_awake")
    assert all(isinstance(reader.end(), Failed) for reader in running)


def test_an_idle_engine_that_hangs_is_replaced_before_anyone_needs_it(host: FakeHost) -> None:
    host.engines.hang("a")
    host.let_pass(UNTIL_FOUND_S)
    check_it_serves(host)


def test_a_sleeping_engine_that_hangs_is_ended_and_the_awake_one_goes_on(host: FakeHost) -> None:
    swap(host, "b", 1)
    awake = host.engines.alive["b"]
    host.engines.hang("a")
    host.let_pass(UNTIL_FOUND_S)
    wait_until(lambda: state(host).tiers == {"a": "disk", "b": "awake"})
    assert host.engines.alive == {"b": awake}
    check_it_serves(host)


@pytest.mark.parametrize(("model", "outcome"), [("a", "committed"), ("b", "rolled_back")])
def test_a_hotswap_finds_one_of_its_engines_hanging_in_the_time_of_an_answer(
    host: FakeHost, model: str, outcome: str
) -> None:
    swap(host, "b", 1)
    swap(host, "a", 2)
    host.engines.hang(model)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(swap, host, "b", 3)
        wait_until(lambda: state(host).swap_target == "b")
        host.let_pass(UNTIL_FOUND_S)
        report = asked.result()
    assert report.outcome == outcome
    assert "it answered nothing for 30 s" in (report.error or "")
    check_it_serves(host)
    assert hung(host) == {f"{model} answer": 1.0}


# ---------------------------------------------------------------- engines that are well


def test_engines_that_compute_nothing_all_day_are_well(host: FakeHost) -> None:
    swap(host, "b", 1)
    before = dict(host.engines.alive)
    host.let_pass(24 * 3600.0)
    assert host.engines.alive == before
    assert hung(host) == {}


def test_an_engine_whose_work_gets_no_tokens_for_an_hour_but_which_answers_is_well(
    host: FakeHost,
) -> None:
    """A prompt that takes so long, or work that is held: in between two steps it answers."""
    batch = read(host, "b", max_tokens=10**6, request_class="batch")
    batch.until(lambda r: bool(r.tokens))
    host.engines.gate.close()
    interactive = [read(host, f"i{n}") for n in range(2)]
    batch.until(lambda r: Held() in r.frames)
    host.let_pass(3600.0)
    assert state(host).held == 1
    host.engines.gate.open()
    assert [reader.end() for reader in interactive] == [Finished("length")] * 2
    batch.until(lambda r: isinstance(r.frames[-1], Tokens))
    assert hung(host) == {}


class SlowWeights:
    """Weights that are on their way until they are let."""

    def __init__(self) -> None:
        self.asked, self.let = threading.Event(), threading.Event()

    def present(self, model: str) -> bool:
        return True

    def prepare(self, model: str) -> None:
        self.asked.set()
        assert self.let.wait(120)


def test_a_download_however_long_is_no_silence_of_an_engine(tmp_path: Path) -> None:
    weights, fleet = SlowWeights(), fake_fleet(["a"], {"host-0": "a"})
    host = FakeHost(fleet, StateFolder(tmp_path), "host-0", weights=weights)
    try:
        host.start(until=lambda _host: weights.asked.is_set())
        host.let_pass(24 * 3600.0)
        weights.let.set()
        check_it_serves(host)
        assert hung(host) == {}
    finally:
        weights.let.set()
        host.kill()


# ---------------------------------------------------------------- commands that never end


@pytest.mark.parametrize(
    ("model", "step", "outcome"),
    [("a", "sleep", "committed"), ("b", "wake", "rolled_back"), ("b", "start", "rolled_back")],
)
def test_a_hotswap_whose_engine_hangs_in_a_command_ends(
    host: FakeHost, model: str, step: Step, outcome: str
) -> None:
    if step == "wake":
        swap(host, "b", 1)
        swap(host, "a", 2)
    host.engines.hang_in.add((model, step))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(swap, host, "b", 3)
        hangs = wait_for_the_hang(host, model)
        host.let_pass(COMMAND_S - 1.0)
        assert host.engines.alive[model] is hangs, "it has time until the limit"
        host.let_pass(1.0)
        report = asked.result()
    assert report.outcome == outcome
    assert f"it did not {step} for 200 s" in (report.error or "")
    check_it_serves(host)
    assert hung(host) == {f"{model} {step}": 1.0}


def wait_for_the_hang(host: FakeHost, model: str) -> object:
    wait_until(lambda: model in host.engines.alive and host.engines.alive[model].hangs)
    return host.engines.alive[model]


def test_a_model_that_hangs_while_it_is_brought_to_sleep_is_reported_and_stopped(
    host: FakeHost,
) -> None:
    host.engines.hang_in.add(("b", "sleep"))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: host.client().change_tier("b", "asleep"))
        wait_for_the_hang(host, "b")
        host.let_pass(COMMAND_S)
        report = asked.result()
    assert report.tier == "disk"
    assert "it did not sleep for 200 s" in (report.error or "")
    check_it_serves(host)


def test_a_start_that_hangs_is_tried_again(tmp_path: Path) -> None:
    fleet = fake_fleet(["a"], {"host-0": "a"})
    host = FakeHost(fleet, StateFolder(tmp_path), "host-0")
    host.engines.hang_in.add(("a", "start"))
    try:
        host.start(until=lambda h: "a" in h.engines.alive and h.engines.alive["a"].hangs)
        host.let_pass(fleet.hosts[0].command_limit_s)
        check_it_serves(host)
    finally:
        host.kill()


# ---------------------------------------------------------------- the watch itself


def test_a_host_watches_its_engines_by_itself(tmp_path: Path) -> None:
    fleet = fake_fleet(["a"], {"host-0": "a"})
    watchful = fleet.hosts[0].model_copy(update={"hung_after_s": 1.0})
    fleet = fleet.model_copy(update={"hosts": [watchful]})
    with running_host(fleet, StateFolder(tmp_path), "host-0") as host:
        before = host.engines.alive["a"]
        host.engines.hang("a")
        wait_until(lambda: before.condition == "dead")
        check_it_serves(host)


async def test_a_watch_that_cannot_end_an_engine_dies_of_it_and_so_is_told() -> None:
    class Immortal(FakeEngine):
        async def kill(self, why: str) -> None:
            raise KeyError("a fault")

    made = FakeEngines()
    vigil = Vigil(Patience(), lambda _hung: None)
    engine = Immortal(fake_fleet(["a"], {"host-0": "a"}).models[0], made)
    async with vigil.over("start", "a", engine):
        pass
    engine.hangs = True
    for _ in range(int(Patience().answer_s + PULSE_EVERY_S)):
        vigil.tick()
    with pytest.raises(KeyError, match="a fault"):
        await vigil.keep()
    engine.hangs = False
