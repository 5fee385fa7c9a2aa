"""The arms of one round, in an order that favours nobody.

A round has every arm once; the next round has them in reverse, so that a machine that grows faster
or slower does so for all of them alike. Between two arms every server is idle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.coserve.instance import Instance
from benchmarks.coserve.recorded import read_recorded
from benchmarks.coserve.samples import ArmSamples, CoserveSamples
from benchmarks.coserve.segment import Load, run_segment
from benchmarks.coserve.workload import (
    SINGLE,
    SIZES,
    Arrival,
    Size,
    batch_work,
    bursts,
    window_s,
)
from benchmarks.streams import Endpoint

BURSTS = 4
"""In one window."""
_QUEUED = 8
"""Batch requests beyond the slots: there is always one waiting."""


@dataclass
class Arms:
    """Runs segments on a running instance and keeps what they found."""

    instance: Instance
    samples: CoserveSamples
    texts: Sequence[str]
    answer_tokens: dict[str, int]
    """Mean length of an interactive answer, by name of size."""

    def round(self, number: int) -> None:
        """Every arm once."""
        order = SIZES if number % 2 == 0 else SIZES[::-1]
        self._size(order[0], number)
        self._say(number, "batch alone")
        endpoint = self.instance.ours(self.instance.fleets.sized(order[0]).name)
        found, full = self.samples.batch_alone, self.samples.slots
        self.segment(found, endpoint, f"r{number}-batch", seed=number, running=full, queued=_QUEUED)
        self._size(order[1], number)

    def _size(self, size: Size, number: int) -> None:
        found = self.samples.sizes[size.name]
        ours = self.instance.awake(self.instance.fleets.sized(size).name)
        stock = self.instance.stock
        arms: list[tuple[str, ArmSamples, Endpoint, bool]] = [
            ("alone", found.alone, ours, False),
            ("stock-alone", found.stock_alone, stock, False),
            ("stock", found.stock, stock, True),
            ("ours", found.ours, ours, True),
        ]
        for name, arm, endpoint, batch in arms if number % 2 == 0 else reversed(arms):
            self._say(number, f"{size.name}, {name}")
            label = f"r{number}-{size.name}-{name}"
            running, queued = (self.samples.slots, _QUEUED) if batch else (0, 0)
            self.segment(
                arm, endpoint, label, seed=number, size=size, running=running, queued=queued
            )

    def segment(
        self,
        arm: ArmSamples,
        endpoint: Endpoint,
        name: str,
        *,
        seed: int,
        size: Size | None = None,
        running: int = 0,
        queued: int = 0,
    ) -> None:
        """One window of one arm, with so much batch work; afterwards all servers are idle."""
        batch = running > 0
        load = Load(
            name,
            self._arrivals(size, seed) if size else (),
            batch=batch_work(self.texts, seed) if batch else None,
            batch_streams=running + queued,
            slots=running,
            window_s=window_s(BURSTS),
        )
        segment = run_segment(endpoint, load)
        self.instance.wait_idle()
        arm.segments.append(segment)
        if batch and endpoint.url == self.instance.gateway_url:
            reader, gateway = self.instance.reader, self.instance.gateway
            arm.recorded.append(read_recorded(reader, name, segment, gateway))

    def _arrivals(self, size: Size, seed: int) -> list[Arrival]:
        mean = self.answer_tokens[size.name]
        return bursts(size, self.texts, seed, number=BURSTS, mean_tokens=mean)

    def _say(self, number: int, what: str) -> None:
        self.instance.workspace.say(f"round {number + 1}: {what}")


def two_hosts(arms: Arms) -> None:
    """One interactive request at a time on two hosts that batch work fills by half.

    The request is on one of them, so what it evicts has somewhere to go. With both hosts full, or
    with interactive work on both, there would be no free slot elsewhere.
    """
    instance, found = arms.instance, arms.samples.two_hosts
    model = instance.fleets.sized(SIZES[-1]).name
    for host in instance.hosts:
        host.swap(model)
    instance.wait_for_replicas(model, 2)
    endpoint = instance.ours(model)
    half = arms.samples.slots
    arms.segment(found.alone, endpoint, "two-alone", seed=0, size=SINGLE)
    arms.segment(found.ours, endpoint, "two-ours", seed=0, size=SINGLE, running=half)
    arms.segment(found.batch_alone, endpoint, "two-batch", seed=0, running=half)
