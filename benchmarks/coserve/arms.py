"""The arms of one round, close together in time.

What is compared stands side by side: half of the bursts alone, all of them beside batch work, the
other half alone, so that a machine that grows faster or slower does so for both arms alike. The
first half gives ours its service level, and the next round the lengths of its answers. Between two
segments every server is idle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.coserve.instance import Instance
from benchmarks.coserve.pace import Pace, pace_of
from benchmarks.coserve.recorded import read_recorded
from benchmarks.coserve.samples import ArmSamples, CoserveSamples
from benchmarks.coserve.segment import Load, Segment, run_segment
from benchmarks.coserve.workload import (
    SINGLE,
    SIZES,
    Arrival,
    Size,
    batch_work,
    halves,
    window_s,
)
from benchmarks.coserve.workload import bursts as made_bursts
from benchmarks.streams import Endpoint

_BATCH_ALONE_BURSTS = 4
"""Batch work alone is watched for as long as so many bursts take."""
STOCK_ROUND = 1
"""The stock server has no target: half of the bursts of one round are enough."""
_QUEUED = 8
"""Batch requests beyond the slots: there is always one waiting."""


@dataclass
class Arms:
    """Runs segments on a running instance and keeps what they found."""

    instance: Instance
    samples: CoserveSamples
    texts: Sequence[str]
    paces: dict[str, Pace]
    """The last seen, or expected, by name of size."""

    def round(self, number: int) -> None:
        """Every arm once, the sizes in turn first."""
        order = SIZES if number % 2 == 0 else SIZES[::-1]
        self._size(order[0], number)
        self._say(number, "batch alone")
        endpoint = self.instance.ours(self.instance.fleets.sized(order[0]).name)
        batch_alone = self._batch(endpoint, f"r{number}-batch", (), number)
        self.samples.batch_alone.rounds.append([batch_alone])
        self._size(order[1], number)

    def two_hosts(self) -> None:
        """One interactive request at a time on two hosts that batch work fills by half.

        The request is on one of them, so what it evicts has somewhere to go. With both hosts full,
        or with interactive work on both, there would be no free slot elsewhere.
        """
        instance, found = self.instance, self.samples.two_hosts
        model = instance.fleets.sized(SIZES[-1]).name
        for host in instance.hosts:
            host.swap(model)
        instance.wait_for_replicas(model, 2)
        self.paces[SINGLE.name] = self.paces[SIZES[0].name]
        endpoint, arrivals = instance.ours(model), self._arrivals(SINGLE, 0)
        alone = self._alone(endpoint, "two-alone", arrivals, SINGLE.bursts)
        for host in instance.hosts:
            host.keep_to_level(model, pace_of(alone.interactive).level_s)
        ours = self._batch(endpoint, "two-ours", arrivals, 0, bursts=SINGLE.bursts, queued=0)
        batch_alone = self._batch(endpoint, "two-batch", (), 0, queued=0)
        found.alone.rounds.append([alone])
        found.batch_alone.rounds.append([batch_alone])
        self._keep_recorded(found.ours, "two-ours", ours)

    def warm(self, size: Size) -> None:
        """Half of a window alone that is compared with nothing: it gives the first lengths."""
        endpoint = self.instance.awake(self.instance.fleets.sized(size).name)
        first, _ = halves(self._arrivals(size, -1), size.bursts)
        segment = self._alone(endpoint, f"warm-{size.name}", first, size.bursts // 2)
        self.paces[size.name] = pace_of(segment.interactive)

    def _size(self, size: Size, number: int) -> None:
        found = self.samples.sizes[size.name]
        model = self.instance.fleets.sized(size).name
        endpoint, name = self.instance.awake(model), f"r{number}-{size.name}"
        arrivals = self._arrivals(size, number)
        self._say(number, f"{size.name}, alone and ours")
        early, late = halves(arrivals, size.bursts)
        before = self._alone(endpoint, f"{name}-alone-1", early, size.bursts // 2)
        level_s = pace_of(before.interactive).level_s
        self.instance.hosts[0].keep_to_level(model, level_s)
        ours = self._batch(endpoint, f"{name}-ours", arrivals, number, bursts=size.bursts)
        after = self._alone(endpoint, f"{name}-alone-2", late, size.bursts // 2)
        found.alone.rounds.append([before, after])
        self._keep_recorded(found.ours, f"{name}-ours", ours)
        found.levels_s.append(level_s)
        self.paces[size.name] = pace_of([*before.interactive, *after.interactive])
        if number == STOCK_ROUND:
            self._stock(size, number, early)

    def _stock(self, size: Size, number: int, arrivals: Sequence[Arrival]) -> None:
        found, stock = self.samples.sizes[size.name], self.instance.stock
        name = f"r{number}-{size.name}-stock"
        self._say(number, f"{size.name}, stock server")
        alone = self._alone(stock, f"{name}-alone", arrivals, size.bursts // 2)
        priority = self._batch(stock, name, arrivals, number, bursts=size.bursts // 2)
        found.stock_alone.rounds.append([alone])
        found.stock.rounds.append([priority])

    def _alone(
        self, endpoint: Endpoint, name: str, arrivals: Sequence[Arrival], bursts: int
    ) -> Segment:
        return self._segment(endpoint, Load(name, arrivals, window_s=window_s(bursts)))

    def _batch(
        self,
        endpoint: Endpoint,
        name: str,
        arrivals: Sequence[Arrival],
        seed: int,
        *,
        bursts: int = _BATCH_ALONE_BURSTS,
        queued: int = _QUEUED,
    ) -> Segment:
        """One window over batch work for every slot of a host, and so much that waits."""
        slots = self.samples.slots
        load = Load(
            name,
            arrivals,
            batch=batch_work(self.texts, seed),
            batch_streams=slots + queued,
            slots=slots,
            window_s=window_s(bursts),
        )
        return self._segment(endpoint, load)

    def _segment(self, endpoint: Endpoint, load: Load) -> Segment:
        """Afterwards all servers are idle."""
        segment = run_segment(endpoint, load)
        self.instance.wait_idle()
        return segment

    def _keep_recorded(self, arm: ArmSamples, name: str, segment: Segment) -> None:
        arm.rounds.append([segment])
        reader, gateway = self.instance.reader, self.instance.gateway
        arm.recorded.append(read_recorded(reader, name, segment, gateway))

    def _arrivals(self, size: Size, seed: int) -> list[Arrival]:
        mean = self.paces[size.name].answer_tokens(size)
        return made_bursts(size, self.texts, seed, number=size.bursts, mean_tokens=mean)

    def _say(self, number: int, what: str) -> None:
        self.instance.workspace.say(f"round {number + 1}: {what}")
