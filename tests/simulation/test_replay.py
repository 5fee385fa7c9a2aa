"""Replays: nothing is lost or doubled, and swaps take the time they take."""

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.attainment import ServiceLevel, attainment
from simulation.cluster import Cluster
from simulation.commands import Command, Swap
from simulation.policies.autoscaler import STABILISATION_S, SYNC_S, Autoscaler
from simulation.policies.clairvoyant import Clairvoyant
from simulation.policies.on_request import OnRequest
from simulation.policies.pinned import Pinned, mean_counts
from simulation.policy import Policy
from simulation.replay import replay
from simulation.service import ServiceModel, SwapTimes
from simulation.trace import Trace, trace_of
from tests.simulation.traces import frame, trace

SERVICE = ServiceModel(
    step_s=0.01, token_s=0.001, prefill_token_s=0.0001, chunk_tokens=100, slots=4
)
TIMES = SwapTimes(asleep_s=0.5, disk_s=5.0)
LEVEL = ServiceLevel(ttft_s=2.0, tpot_s=0.1)


def cluster(of: Trace, hosts: int, room: int = 8) -> Cluster:
    models = len(of.models)
    return Cluster([SERVICE] * models, hosts, room=room, swap_times=TIMES, batch_cap=[2] * models)


def test_on_request_a_model_without_an_engine_waits_for_its_swap_from_disk_then_from_memory() -> (
    None
):
    asked = [(0, "a"), (10, "c"), (20, "a"), (30, "c"), (40, "b")]
    arrivals = trace(*((t, m, 100, 1) for t, m in asked))
    requests = replay(arrivals, cluster(arrivals, 1, room=1), OnRequest()).requests
    prompt_s = 0.01 + 100 * 0.0001
    waits = [prompt_s, 5.0 + prompt_s, 0.5 + prompt_s, 0.5 + prompt_s, 5.0 + prompt_s]
    assert [r.ttft_s for r in requests] == pytest.approx(waits)


def test_what_a_swap_takes_off_an_engine_goes_on_elsewhere_with_its_tokens() -> None:
    arrivals = trace((0, "a", 100, 1000), (1, "b", 100, 1))

    class TakeAway(Pinned):
        def starved(self, now: float, model: int, cluster: Cluster) -> list[Command]:
            return [Swap(0, model)]

    pool = cluster(arrivals, 2)
    replayed = replay(arrivals, pool, TakeAway("take away", [2, 0]))
    long, short = replayed.requests
    assert long.disturbed == replayed.disturbed == 1
    assert short.ttft_s > TIMES.disk_s
    # It loses the prefill of what it has, and not the tokens themselves.
    assert long.ended_at == pytest.approx(0.011 * 1000, abs=0.3)


def test_a_host_without_room_forgets_the_model_awake_longest_ago() -> None:
    arrivals = trace(
        *((10.0 * n, model, 10, 1) for n, model in enumerate(["a", "b", "c", "a", "c"]))
    )
    requests = replay(arrivals, cluster(arrivals, 1, room=1), OnRequest()).requests
    swaps_s = [round(r.ttft_s, 1) for r in requests]
    assert swaps_s == [0.0, 0.5, 5.0, 5.0, 0.5]  # b was in memory from the start


def test_a_pod_autoscaler_adds_at_a_sync_and_takes_away_after_its_window() -> None:
    busy = [(0.1 * n, "a", 10, 200) for n in range(400)]
    quiet = [(1000.0, "b", 10, 1)]
    arrivals = trace(*busy, *quiet)
    pool = cluster(arrivals, 4)
    held: dict[float, int] = {}

    class Watched(Autoscaler):
        def tick(self, now: float, cluster: Cluster) -> list[Command]:
            held[now] = sum(host.assigned == 0 for host in cluster.hosts)
            return super().tick(now, cluster)

    replay(arrivals, pool, Watched(LEVEL.tpot_s))
    assert held[SYNC_S] == 1
    assert held[4 * SYNC_S] > 1
    last_busy = max(now for now, hosts in held.items() if hosts > 1)
    assert last_busy > STABILISATION_S


def test_a_clairvoyant_planner_has_the_engine_where_the_period_needs_it() -> None:
    arrivals = trace(
        *((n, "a", 10, 5) for n in range(60)), *((n, "b", 10, 5) for n in range(66, 120))
    )
    found = attainment(
        replay(
            arrivals,
            cluster(arrivals, 1),
            Clairvoyant(arrivals, [SERVICE] * 2, LEVEL.tpot_s),
        ),
        LEVEL,
    )
    assert found.moves == 1
    assert found.interactive == 1.0


def test_batch_gets_a_slot_only_below_the_cap_while_interactive_requests_run() -> None:
    interactive = frame((0, "a", 10, 500))
    batch = frame(*((0.1, "a", 10, 10) for _ in range(3)), request_class="batch")
    both = trace_of(pl.concat([interactive, batch]))
    first, *others = replay(both, cluster(both, 1), Pinned("pinned", [1])).requests
    assert math.isfinite(first.ended_at)
    firsts = sorted(r.first_token_at for r in others)
    ends = sorted(r.ended_at for r in others)
    assert firsts[1] >= ends[0]
    assert firsts[2] >= ends[1]


POLICIES = {
    "pinned": lambda t: Pinned("pinned", mean_counts(t, [SERVICE] * len(t.models), 0.1)),
    "on request": lambda _: OnRequest(),
    "autoscaler": lambda _: Autoscaler(0.1),
    "clairvoyant": lambda t: Clairvoyant(t, [SERVICE] * len(t.models), 0.1, period_s=5.0),
}


@pytest.mark.parametrize("policy", POLICIES)
@given(
    rows=st.lists(
        st.tuples(
            st.floats(0, 60), st.sampled_from("abcd"), st.integers(0, 500), st.integers(1, 60)
        ),
        min_size=1,
        max_size=40,
    ),
    hosts=st.integers(1, 5),
)
@settings(deadline=None)
def test_every_request_is_served_at_most_once_and_takes_its_time(
    policy: str, rows: list[tuple[float, str, int, int]], hosts: int
) -> None:
    arrivals = trace(*rows)
    pool = cluster(arrivals, hosts, room=1)
    chosen: Policy = POLICIES[policy](arrivals)  # type: ignore[no-untyped-call] # lambdas
    replayed = replay(arrivals, pool, chosen, grace_s=3600)
    for request in replayed.requests:
        if request.ended_at < math.inf:
            alone_s = SERVICE.tpot_s(1) * (request.output_tokens - 1)
            assert request.ended_at - request.first_token_at >= alone_s - 1e-4
            assert request.ttft_s >= SERVICE.step_s * request.input_tokens / 100 - 1e-4
    waiting = sum(len(each) for each in pool.waiting)
    running = sum(host.engine.running for host in pool.hosts if host.engine is not None)
    unfinished = sum(request.ended_at == math.inf for request in replayed.requests)
    assert unfinished == waiting + running
    if policy == "on request":
        assert unfinished == 0
