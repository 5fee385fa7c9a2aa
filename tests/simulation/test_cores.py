"""Hosts that share a machine's cores: by how much they slow each other down, and when."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation.cluster import Cluster
from simulation.commands import Command, Swap
from simulation.cores import SharedCores
from simulation.policy import Policy
from simulation.replay import Replayed, replay
from simulation.service import ServiceModel, SwapTimes
from simulation.trace import Trace
from tests.simulation.traces import trace

SERVICE = ServiceModel(step_s=0.01, token_s=0.0, prefill_token_s=0.0, chunk_tokens=1, slots=8)
"""A prompt token takes a step, and so does a token of output."""
SLOWER = 0.5
SWAP_S = 1.0


class Placed(Policy):
    """Each host has its model from the beginning; later moves at their times."""

    name = "placed"
    tick_s = 1.0

    def __init__(self, *models: int, later: dict[float, Swap] | None = None) -> None:
        self._models, self._later = models, later or {}

    def start(self, cluster: Cluster) -> list[Command]:
        return [Swap(host, model) for host, model in enumerate(self._models)]

    def tick(self, now: float, cluster: Cluster) -> list[Command]:
        return [self._later[now]] if now in self._later else []


def replayed(
    of: Trace,
    policy: Placed,
    hosts: int,
    cores: SharedCores | None,
    service: ServiceModel = SERVICE,
) -> Replayed:
    models = len(of.models)
    pool = Cluster(
        [service] * models,
        hosts,
        room=8,
        swap_times=SwapTimes(SWAP_S, SWAP_S),
        batch_cap=[8] * models,
    )
    return replay(of, pool, policy, cores=cores)


def cores(hosts_per_machine: int = 2) -> SharedCores:
    return SharedCores(hosts_per_machine, SLOWER)


def test_a_host_is_slower_only_while_the_other_one_computes() -> None:
    # Both compute from 0 s; the first is done after 60 steps, the second goes on alone.
    arrivals = trace((0, "a", 10, 51), (0, "b", 10, 151))
    first, second = replayed(arrivals, Placed(0, 1), 2, cores()).requests
    both_s = 60 * 0.01 * (1 + SLOWER)
    assert first.ended_at == pytest.approx(both_s)
    assert second.ended_at == pytest.approx(both_s + 100 * 0.01)


def test_without_shared_cores_every_host_is_a_machine_of_its_own() -> None:
    arrivals = trace((0, "a", 10, 51), (0, "b", 10, 151))
    for apart in (None, cores(hosts_per_machine=1)):
        requests = replayed(arrivals, Placed(0, 1), 2, apart).requests
        assert [r.ended_at for r in requests] == pytest.approx([0.6, 1.6])


def test_hosts_of_other_machines_do_not_count() -> None:
    arrivals = trace((0, "a", 10, 51), (0, "b", 10, 51), (0, "c", 10, 51))
    requests = replayed(arrivals, Placed(0, 1, 2), 3, cores()).requests
    beside_s, alone_s = 0.6 * (1 + SLOWER), 0.6
    assert [r.ended_at for r in requests] == pytest.approx([beside_s, beside_s, alone_s])


def test_a_hotswap_computes_too() -> None:
    arrivals = trace((0, "a", 10, 291), (0, "b", 1, 1), (0, "c", 1, 1))
    policy = Placed(0, 1, later={1.0: Swap(1, 2)})
    long, short, _ = replayed(arrivals, policy, 2, cores()).requests
    # Beside the short request, then beside the hotswap, then beside what waited for its model.
    beside_s = short.ended_at + SWAP_S + 0.01 * (1 + SLOWER)
    steps_beside = beside_s / (0.01 * (1 + SLOWER))
    assert long.ended_at == pytest.approx(beside_s + (300 - steps_beside) * 0.01)


def test_hosts_that_end_at_the_same_moment_all_serve_on() -> None:
    # Each of the pair ends just when the other does; what comes later finds both of them idle.
    pair = [(0, "a", 10, 51), (0, "b", 10, 51)]
    arrivals = trace(*pair, (5, "a", 10, 51), (5, "b", 10, 51))
    requests = replayed(arrivals, Placed(0, 1), 2, cores()).requests
    assert [r.ended_at - r.arrived_at for r in requests] == pytest.approx([0.9] * 4)


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.sampled_from("ab"), st.integers(1, 50), st.integers(1, 99)),
        min_size=2,
        max_size=12,
    )
)
def test_nobody_ends_sooner_than_alone_nor_later_than_always_beside_the_other(
    rows: list[tuple[float, str, int, int]],
) -> None:
    arrivals = trace((0, "a", 1, 1), (0, "b", 1, 1), *rows)
    always = dataclasses.replace(SERVICE, step_s=SERVICE.step_s * (1 + SLOWER))
    alone = replayed(arrivals, Placed(0, 1), 2, None).requests
    beside = replayed(arrivals, Placed(0, 1), 2, cores()).requests
    slowest = replayed(arrivals, Placed(0, 1), 2, None, always).requests
    for quick, found, slow in zip(alone, beside, slowest, strict=True):
        assert quick.ended_at - 1e-3 <= found.ended_at <= slow.ended_at + 1e-3
