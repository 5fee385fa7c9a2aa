"""From a replay to figures: who met the service level, and what it took."""

from collections.abc import Iterable
from dataclasses import dataclass

from simulation.engine import Request
from simulation.replay import Replayed


@dataclass(frozen=True)
class ServiceLevel:
    """What a request has to keep to count as good."""

    ttft_s: float
    tpot_s: float

    def met_by(self, request: Request) -> bool:
        """Whether the request was served within both."""
        return request.ttft_s <= self.ttft_s and request.tpot_s <= self.tpot_s


@dataclass(frozen=True)
class Attainment:
    """Figures of one replay."""

    policy: str
    hosts: int
    interactive: float
    """Share of interactive requests that met the level; NaN without any."""
    batch: float
    """Share of batch requests that ended."""
    goodput_rps: float
    utilisation: float
    moves: int
    """Hotswaps that the policy asked for."""
    switches: int
    """Hotswaps within a grant."""
    disturbed: int

    @property
    def swaps(self) -> int:
        """Hotswaps in all."""
        return self.moves + self.switches


def attainment(replayed: Replayed, level: ServiceLevel) -> Attainment:
    """Count a replay."""
    interactive = [r for r in replayed.requests if not r.batch]
    good = sum(level.met_by(r) for r in interactive)
    ended = [r.ended_at < float("inf") for r in replayed.requests if r.batch]
    return Attainment(
        policy=replayed.policy,
        hosts=replayed.hosts,
        interactive=_share(good, len(interactive)),
        batch=_share(sum(ended), len(ended)),
        goodput_rps=good / replayed.duration_s if replayed.duration_s else 0.0,
        utilisation=_share(replayed.busy_s, replayed.hosts * replayed.duration_s),
        moves=replayed.moves,
        switches=replayed.switches,
        disturbed=replayed.disturbed,
    )


def by_model(requests: Iterable[Request], level: ServiceLevel) -> dict[int, tuple[int, int]]:
    """For each model: interactive requests that met the level, and all of them."""
    counts: dict[int, tuple[int, int]] = {}
    for request in requests:
        if not request.batch:
            good, total = counts.get(request.model, (0, 0))
            counts[request.model] = (good + level.met_by(request), total + 1)
    return counts


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
