"""Which process is killed when: drawn from a seed, so that a run can be repeated. Pure."""

import random
from dataclasses import dataclass
from typing import Literal

Victim = Literal["run worker", "gateway", "host"]

VICTIMS: tuple[Victim, ...] = ("run worker", "gateway", "host")


@dataclass(frozen=True)
class PlannedKill:
    """One kill: after the one before it, so long since batch requests run (again)."""

    victim: Victim
    after_s: float


def kill_plan(seed: int, each: int, pause_s: tuple[float, float]) -> list[PlannedKill]:
    """`each` kills of every kind, in random order, with pauses between the two of `pause_s`."""
    choice = random.Random(seed)  # noqa: S311 - reproducible, no secret
    victims = [victim for victim in VICTIMS for _ in range(each)]
    choice.shuffle(victims)
    return [PlannedKill(victim, choice.uniform(*pause_s)) for victim in victims]
