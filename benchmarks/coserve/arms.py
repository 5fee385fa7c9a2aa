"""The arms of one round, in an order that favours nobody.

A round has every arm once; the next round has them in reverse, so that a machine that grows faster
or slower does so for all of them alike. Between two arms every server is idle.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.coserve.instance import Instance
from benchmarks.coserve.recorded import read_recorded
from benchmarks.coserve.samples import ArmSamples, CoserveSamples
from benchmarks.coserve.segment import Load, run_segment
from benchmarks.coserve.streams import Endpoint
from benchmarks.coserve.workload import SIZES, Arrival, Size, batch_work, bursts, window_s

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
        self.segment(
            self.samples.batch_alone, endpoint, f"r{number}-batch", seed=number, batch=True
        )
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
            self.segment(arm, endpoint, label, seed=number, size=size, batch=batch)

    def segment(
        self,
        arm: ArmSamples,
        endpoint: Endpoint,
        name: str,
        *,
        seed: int,
        size: Size | None = None,
        batch: bool = False,
        hosts: int = 1,
    ) -> None:
        """One window of one arm; afterwards all servers are idle."""
        slots = self.samples.slots * hosts
        load = Load(
            name,
            self._arrivals(size, seed) if size else (),
            batch=batch_work(self.texts, seed) if batch else None,
            batch_streams=slots + _QUEUED * hosts if batch else 0,
            slots=slots if batch else 0,
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


Step = Callable[[Arms], None]


def two_hosts(arms: Arms) -> None:
    """The heavy size on two hosts: evictions have somewhere to go."""
    size = SIZES[-1]
    instance, found = arms.instance, arms.samples.two_hosts
    model = instance.fleets.sized(size).name
    for host in instance.hosts:
        host.swap(model)
    instance.wait_for_replicas(model, 2)
    endpoint = instance.ours(model)
    arms.segment(found.alone, endpoint, "two-alone", seed=0, size=size, hosts=2)
    arms.segment(found.ours, endpoint, "two-ours", seed=0, size=size, batch=True, hosts=2)
    arms.segment(found.batch_alone, endpoint, "two-batch", seed=0, batch=True, hosts=2)
