"""Switching shared hosts from the gateway: what is sent, and what is not sent twice."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from serving.config import Fleet, HostSettings
from serving.errors import HostUnreachable, PlanRefused
from serving.gateway.moving import PrefillRates
from serving.gateway.pool import Pool
from serving.gateway.queues import Place, Queues
from serving.gateway.switcher import Switcher
from serving.wire import ClassCounts, SwapReport, SwitchCommand
from tests.fakes.host import fake_fleet
from tests.gateway.test_attempts import until
from tests.gateway.test_pool import state

REFUSED = PlanRefused("'n' is awake", where="host a", fix="Plan again.")
AWAY = HostUnreachable("connection refused", where="host a", fix="See its log.")


class FakeSender:
    """Hosts that answer switches when the test says so."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, SwitchCommand]] = []
        self._answers: list[asyncio.Future[SwapReport]] = []

    async def switch(self, host: HostSettings, command: SwitchCommand) -> SwapReport:
        self.sent.append((host.name, command))
        self._answers.append(asyncio.get_running_loop().create_future())
        return await self._answers[-1]

    def answer(self, outcome: Any) -> None:
        """The last one sent ends so."""
        host, command = self.sent[-1]
        if isinstance(outcome, Exception):
            self._answers[-1].set_exception(outcome)
            return
        report = SwapReport(
            host=host,
            plan_id=1,
            from_model=command.expected_awake,
            to_model=command.model,
            outcome=outcome,
            from_tier="asleep",
            total_s=0.1,
            phases_s={},
            handed_back=0,
            kind="switch",
        )
        self._answers[-1].set_result(report)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(host, command.model) for host, command in self.sent]


class Scene:
    """A pool of hosts that share models m and n, and a switcher that runs."""

    def __init__(self) -> None:
        self.fleet: Fleet = fake_fleet(
            {"m": {"max_replicas": 2}, "n": {"max_replicas": 2}, "o": {}}, {"a": None, "b": None}
        )
        self.pool, self.queues, self.sender = Pool(self.fleet.hosts), None, FakeSender()
        self.queues = Queues(PrefillRates())
        self.ended: list[tuple[str, str]] = []
        self.pool.on_doubt(lambda _host: None)
        self.switcher = Switcher(
            self.fleet,
            self.pool,
            self.queues,
            self.sender,
            on_end=lambda model, outcome: self.ended.append((model, outcome)),
        )

    def report(self, host: str, awake: str = "m", grant: tuple[str, ...] = ("m", "n"), **f) -> None:
        self.pool.report(host, state(host, awake_model=awake, grant=grant, **f))

    @contextmanager
    def request(self, model: str, count: int = 1) -> Iterator[list[Place]]:
        places = [self.queues.place(model, "interactive", lambda: 10) for _ in range(count)]
        for place in places:
            place.__enter__()
        try:
            yield places
        finally:
            for place in places:
                place.__exit__(None, None, None)

    async def looked(self) -> None:
        """Long enough for a switcher to look again, if it were to."""
        for _ in range(5):
            await asyncio.sleep(0.01)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    task = asyncio.create_task(made.switcher.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_burst_for_a_model_that_no_host_serves_wakes_one_host(scene: Scene) -> None:
    scene.report("a")
    scene.report("b")

    with scene.request("n", count=20):
        await until(lambda: bool(scene.sender.sent))
        await scene.looked()

        assert len(scene.sender.sent) == 1
        _, command = scene.sender.sent[0]
        assert (command.expected_awake, command.model) == ("m", "n")
        assert command.policy == "stagger", "the other host goes on with what is handed back"
        assert "20 interactive requests wait" in command.reason
        assert command.asked_by.startswith("gateway 127.0.0.1:")


async def test_batch_for_which_its_host_has_no_slot_borrows_a_host_unused_for_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.switching.leaving.LENT_AFTER_S", 0.05)
    scene.report("a", waiting=ClassCounts(batch=3), running=ClassCounts(batch=4))
    scene.report("b", awake="n")

    await until(lambda: scene.sender.told == [("b", "m")])


async def test_a_host_becomes_free_for_the_model_that_waits(scene: Scene) -> None:
    slow = {"m": 3600.0, "n": 3600.0}
    scene.report("a", running=ClassCounts(interactive=1), wake_s=slow)
    with scene.request("n"):
        await scene.looked()
        assert scene.sender.told == []

        scene.report("a", wake_s=slow)

        await until(lambda: scene.sender.told == [("a", "n")])


async def test_a_dedicated_host_is_left_alone(scene: Scene) -> None:
    scene.report("a", grant=("m",))
    scene.report("b", grant=())
    with scene.request("n"):
        await scene.looked()
        assert scene.sender.told == []


async def test_no_host_is_told_for_a_model_outside_its_grant(scene: Scene) -> None:
    scene.report("a")
    with scene.request("o"):
        await scene.looked()
        assert scene.sender.told == []


async def test_nothing_is_told_again_before_the_host_reports_how_it_ended(scene: Scene) -> None:
    scene.report("a")
    with scene.request("n"):
        await until(lambda: scene.sender.told == [("a", "n")])
        scene.report("a")
        await scene.looked()
        scene.sender.answer("committed")
        await until(lambda: scene.ended == [("n", "committed")])
        await scene.looked()
        assert scene.sender.told == [("a", "n")]

        scene.report("a", awake="n")
        await scene.looked()

        assert scene.sender.told == [("a", "n")]


async def test_what_a_host_refused_is_decided_anew_on_its_next_report(scene: Scene) -> None:
    scene.report("a")
    with scene.request("n"):
        await until(lambda: len(scene.sender.sent) == 1)
        scene.sender.answer(REFUSED)
        await until(lambda: scene.ended == [("n", "refused")])

        scene.report("a")

        await until(lambda: scene.sender.told == [("a", "n"), ("a", "n")])


@pytest.mark.parametrize("outcome", ["rolled_back", "failed", AWAY], ids=str)
async def test_a_host_that_failed_to_wake_a_model_is_passed_over_for_another(
    scene: Scene, outcome: Any
) -> None:
    scene.report("a")
    with scene.request("n"):
        await until(lambda: scene.sender.told == [("a", "n")])
        scene.sender.answer(outcome)
        await until(lambda: bool(scene.ended))
        scene.report("a")
        await scene.looked()
        assert scene.sender.told == [("a", "n")]

        scene.report("b")

        await until(lambda: scene.sender.told == [("a", "n"), ("b", "n")])


async def test_a_host_that_swaps_already_is_not_told_and_counts_for_where_it_goes(
    scene: Scene,
) -> None:
    scene.report("a", phase="swapping", awake=None, swap_target="n")
    scene.report("b")
    with scene.request("n"):
        await scene.looked()
        assert scene.sender.told == []


async def test_a_host_that_does_not_answer_is_no_help(scene: Scene) -> None:
    scene.report("a")
    scene.pool.lost("a", "no answer")
    with scene.request("n"):
        await scene.looked()
        assert scene.sender.told == []
        scene.report("b", boot_id="2")
        await until(lambda: scene.sender.told == [("b", "n")])


async def test_a_host_is_left_by_and_by_for_a_model_that_waits_long(scene: Scene) -> None:
    quick = {"m": 0.05, "n": 0.05}
    scene.report("a", running=ClassCounts(interactive=1), wake_s=quick)
    with scene.request("n"):
        await until(lambda: scene.sender.told == [("a", "n")])
        assert scene.sender.sent[0][1].waited_s > 0


async def test_a_switch_that_nobody_could_follow_does_not_stand_for_ever(scene: Scene) -> None:
    scene.report("a")
    with scene.request("n"):
        await until(lambda: bool(scene.sender.sent))
        scene.sender.answer(ValueError("a fault"))
        await until(lambda: bool(scene.ended))

    assert scene.ended == [("n", "unreachable")]


async def test_a_switcher_that_died_knows_of_no_switch_when_it_is_begun_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene()
    scene.report("a")
    with scene.request("n"):
        running = asyncio.create_task(scene.switcher.run())
        await until(lambda: bool(scene.sender.sent))

        def broken(_switcher: Switcher) -> float | None:
            raise ValueError("a fault")

        with monkeypatch.context() as patched:
            patched.setattr(Switcher, "look", broken)
            scene.report("a")
            with pytest.raises(ValueError, match="a fault"):
                await running

        again = asyncio.create_task(scene.switcher.run())
        scene.report("a")
        await until(lambda: len(scene.sender.sent) == 2)
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
