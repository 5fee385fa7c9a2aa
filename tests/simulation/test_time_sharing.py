"""Hosts that switch within a grant, and the gateway that makes them."""

import pytest

from serving.switching.timing import patience_s
from simulation.cluster import Cluster
from simulation.commands import Command, Grant, Swap
from simulation.gateway import Gateway
from simulation.placement import HoldBack
from simulation.policy import Policy
from simulation.replay import TOLD_AFTER_S, Replayed, replay
from simulation.service import ServiceModel, SwapTimes
from simulation.trace import Trace
from tests.simulation.traces import trace

SERVICE = ServiceModel(
    step_s=0.01, token_s=0.001, prefill_token_s=0.0001, chunk_tokens=100, slots=64
)
TIMES = SwapTimes(asleep_s=0.5, disk_s=5.0)
PATIENCE_S = patience_s(2.0, TIMES.asleep_s)
PROMPT_S = 0.01 + 100 * 0.0001


class Granted(Policy):
    """Grants and models that never change; later grants at their times."""

    name = "granted"
    tick_s = 1.0

    def __init__(self, *begin: Command, later: dict[float, Grant] | None = None) -> None:
        self._begin, self._later = begin, later or {}

    def start(self, cluster: Cluster) -> tuple[Command, ...]:
        return self._begin

    def tick(self, now: float, cluster: Cluster) -> list[Command]:
        return [self._later[now]] if now in self._later else []


def cluster(models: int, hosts: int, room: int = 8) -> Cluster:
    return Cluster(
        [SERVICE] * models,
        hosts,
        room=room,
        swap_times=TIMES,
        batch_cap=[2] * models,
        hold_back=HoldBack(PATIENCE_S, 2.0),
    )


def replayed(of: Trace, hosts: int, policy: Policy, room: int = 8) -> Replayed:
    pool = cluster(len(of.models), hosts, room)
    return replay(of, pool, policy, gateway=Gateway(of.models, ttft_s=2.0))


def test_a_shared_host_switches_at_once_when_it_is_idle() -> None:
    arrivals = trace((0, "a", 100, 1), (10, "b", 100, 1), (20, "a", 100, 1))
    found = replayed(arrivals, 1, Granted(Swap(0, 0), Grant(0, (0, 1))))
    assert (found.moves, found.switches) == (0, 2)
    waits = [PROMPT_S, *[TOLD_AFTER_S + TIMES.asleep_s + PROMPT_S] * 2]
    assert [r.ttft_s for r in found.requests] == pytest.approx(waits)


def test_a_dedicated_host_never_switches() -> None:
    arrivals = trace((0, "a", 100, 1), (10, "b", 100, 1))
    found = replayed(arrivals, 1, Granted(Swap(0, 0), Grant(0, (0,))))
    assert found.switches == 0
    assert found.requests[1].ended_at == float("inf")


def test_a_busy_host_is_left_after_the_patience_of_the_first_request_and_comes_back() -> None:
    arrivals = trace((0, "a", 100, 2000), (5, "b", 100, 1))
    long, short = replayed(arrivals, 1, Granted(Swap(0, 0), Grant(0, (0, 1)))).requests
    switched_s = TOLD_AFTER_S + TIMES.asleep_s + PROMPT_S
    assert short.ttft_s == pytest.approx(PATIENCE_S + switched_s)
    assert long.disturbed == 1
    assert long.ended_at < float("inf")


def test_a_burst_wakes_as_many_idle_hosts_as_its_prompts_need() -> None:
    arrivals = trace((0, "b", 100, 1), *((10, "a", 1000, 2) for _ in range(16)))
    # 16 prompts of 0.2 s: with 0.75 s of them an engine, five engines.
    shared = [command for n in range(8) for command in (Swap(n, 1), Grant(n, (0, 1)))]
    found = replayed(arrivals, 8, Granted(*shared))
    assert found.switches == 5
    assert max(r.ttft_s for r in found.requests[1:]) < 2.0


def test_prompts_wait_before_the_engines_and_the_late_ones_after_those_in_time() -> None:
    burst = [(0, "a", 10_000, 1) for _ in range(3)]
    arrivals = trace(*burst, (3.9, "a", 100, 1))
    *rest, last = replayed(arrivals, 1, Granted(Swap(0, 0), Grant(0, (0,)))).requests
    assert sum(request.first_token_at > last.first_token_at for request in rest) == 1
    assert last.ttft_s < 2.0


def test_of_more_prompts_than_can_be_in_time_the_long_ones_are_put_off() -> None:
    long, short = (0.0, "a", 9000, 1), (0.0, "a", 2000, 1)
    arrivals = trace(short, short, long, short, short)
    found = replayed(arrivals, 1, Granted(Swap(0, 0), Grant(0, (0,)))).requests
    assert [request.ttft_s <= 2.0 for request in found] == [True, True, False, True, True]
    assert found[2].ended_at < float("inf")


def test_a_model_that_is_being_woken_takes_no_longer_to_wake_again_than_one_asleep() -> None:
    pool = cluster(2, 1)
    pool.preload([Swap(0, 0), Grant(0, (0, 1))], 0.0)
    (host,) = pool.hosts
    pool.swap(Swap(0, 1, within_grant=True), 1.0)
    assert pool.wake_s(host, 1) == TIMES.asleep_s
    pool.swapped(host, 2.0)
    assert pool.wake_s(host, 1) == TIMES.asleep_s


def test_a_model_of_a_new_grant_is_brought_into_memory_before_anybody_asks_for_it() -> None:
    arrivals = trace((0, "a", 100, 1), (10, "c", 100, 1), (30, "b", 100, 1))
    policy = Granted(Swap(0, 0), Grant(0, (0,)), later={2.0: Grant(0, (0, 2))})
    _, granted, outside = replayed(arrivals, 1, policy, room=1).requests
    assert granted.ttft_s == pytest.approx(TOLD_AFTER_S + TIMES.asleep_s + PROMPT_S)
    assert outside.ended_at == float("inf")
