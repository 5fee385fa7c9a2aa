"""The interactive cap finds the largest batch within the service level, and stays there."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from serving.engine.decisions.cap import CapLoop
from serving.engine.decisions.curve import assumed, measured
from serving.engine.decisions.effects import Answer, RememberProfile
from serving.engine.decisions.events import LevelSet, Profiled
from serving.engine.decisions.limits import Caps, Limits
from serving.wire import BatchSizePoint, BatchSizeProfile

Tpot = Callable[[int], float]
BOUND_STEPS = 1000
"""Steps with interactive work in which the cap must be found: half a minute at 30 ms."""
FLAT = 0.06
"""Where sizes differ less than this in TPOT, noise hides which is the largest within the level."""
ASTRAY = 0.05
"""Share of the steps in which noise may have led further astray. Its seeds are fixed."""
statistical = settings(
    max_examples=25, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)


@dataclass
class Simulated:
    """An engine of known TPOT, with noise, always filled to the cap."""

    tpot_s: Tpot
    loop: CapLoop
    noise: float
    seed: int

    def run(self, steps: int) -> list[int]:
        """The caps over so many steps."""
        chance, caps = random.Random(self.seed), []
        for _ in range(steps):
            computing = self.loop.cap
            factor = max(0.1, chance.gauss(1.0, self.noise))
            self.loop.observe(computing, self.tpot_s(computing) * factor)
            caps.append(self.loop.cap)
        return caps


def best(tpot_s: Tpot, level_s: float, slots: int) -> int:
    return max((n for n in range(1, slots + 1) if tpot_s(n) <= level_s), default=1)


def is_right(cap: int, tpot_s: Tpot, level_s: float, slots: int) -> bool:
    """Within one of the best, or as near in TPOT as noise lets anyone tell."""
    if abs(cap - best(tpot_s, level_s, slots)) <= 1:
        return True
    return abs(tpot_s(cap) / level_s - 1) <= FLAT


engines = st.fixed_dictionaries(
    {
        "base_s": st.floats(0.005, 0.05),
        "rise": st.floats(0.005, 0.4),
        "power": st.sampled_from([1.0, 1.0, 1.5, 2.0]),
        "headroom": st.floats(1.1, 4.0),
        "slots": st.sampled_from([8, 32, 64]),
        "first_share": st.floats(0.0, 1.0),
        "noise": st.sampled_from([0.0, 0.1, 0.2]),
        "seed": st.integers(0, 1000),
    }
)


def simulated(engine: dict[str, float]) -> tuple[Simulated, float, int]:
    base_s, rise, power = engine["base_s"], engine["rise"], engine["power"]
    slots, level_s = int(engine["slots"]), base_s * engine["headroom"]
    first = max(1, round(engine["first_share"] * slots))
    loop = CapLoop(
        assumed(level_s=level_s, cap=first), slots=slots, level_s=level_s, first_cap=first
    )

    def tpot_s(computing: int) -> float:
        return base_s * (1 + rise * computing**power / 4 ** (power - 1))

    return Simulated(tpot_s, loop, engine["noise"], int(engine["seed"])), level_s, slots


@statistical
@given(engine=engines)
def test_the_cap_is_found_in_bounded_time_and_then_kept(engine: dict[str, float]) -> None:
    world, level_s, slots = simulated(engine)
    world.run(BOUND_STEPS)
    caps = world.run(1000)
    assert 1 <= min(caps) <= max(caps) <= slots
    wrong = [cap for cap in caps if not is_right(cap, world.tpot_s, level_s, slots)]
    assert len(wrong) <= ASTRAY * len(caps)


@statistical
@given(engine=engines, factor=st.sampled_from([0.5, 0.7, 1.5, 2.0]))
def test_the_cap_follows_an_engine_that_became_slower_or_faster(
    engine: dict[str, float], factor: float
) -> None:
    world, level_s, slots = simulated(engine)
    world.run(BOUND_STEPS)
    before = world.tpot_s
    world.tpot_s = lambda computing: factor * before(computing)
    world.run(2 * BOUND_STEPS)
    caps = world.run(1000)
    wrong = [cap for cap in caps if not is_right(cap, world.tpot_s, level_s, slots)]
    assert len(wrong) <= ASTRAY * len(caps)


def test_a_profile_gives_the_first_cap() -> None:
    points = [BatchSizePoint(n, 0.010 + 0.002 * n, 0.1, 100.0) for n in (1, 2, 4, 8, 16)]
    loop = CapLoop(assumed(level_s=0.0301, cap=4), slots=16, level_s=0.0301, first_cap=4)
    assert loop.cap == 4
    loop.follow(measured(points))
    assert loop.cap == 10


def test_a_level_that_cannot_be_met_leaves_a_cap_of_one() -> None:
    loop = CapLoop(assumed(level_s=0.03, cap=8), slots=16, level_s=0.03, first_cap=8)
    Simulated(lambda _n: 0.2, loop, 0.1, 0).run(300)
    assert loop.cap == 1


def test_another_level_is_kept_to_at_the_pace_that_was_seen() -> None:
    points = [BatchSizePoint(n, 0.010 + 0.002 * n, 0.1, 100.0) for n in (1, 2, 4, 8, 16)]
    loop = CapLoop(assumed(level_s=0.0301, cap=4), slots=16, level_s=0.0301, first_cap=4)
    loop.follow(measured(points))
    loop.keep_to(0.0201)
    assert loop.cap == 5
    world = Simulated(lambda n: 0.020 + 0.004 * n, loop, 0.0, 0)  # half as fast as its profile
    world.run(100)
    assert loop.cap == 1
    loop.keep_to(0.0401)
    assert loop.cap == 5
    assert set(world.run(1000)) == {5}


def test_a_level_for_a_model_that_is_not_there_is_refused() -> None:
    caps = Caps({"m": Limits(16, 8, tpot_s=0.03)})
    (answer,) = caps.levelled(LevelSet(1, "other", 0.02))
    assert isinstance(answer, Answer)
    assert answer.refusal is not None
    assert "other" in answer.refusal


def test_a_profile_given_again_does_not_undo_what_was_learned() -> None:
    caps = Caps({"m": Limits(16, 8, tpot_s=0.0301)})
    points = [BatchSizePoint(n, 0.010 + 0.002 * n, 0.1, 100.0) for n in (1, 16)]
    given = Profiled(
        1, BatchSizeProfile(model="m", hardware="test", measured_at=1.0, points=points)
    )
    assert [type(effect) for effect in caps.profiled(given)] == [RememberProfile, Answer]
    loop = caps.place("m").cap
    Simulated(lambda _n: 0.2, loop, 0.1, 0).run(300)
    assert loop.cap == 1
    assert [type(effect) for effect in caps.profiled(given)] == [Answer]
    assert loop.cap == 1


def test_tokens_without_a_gap_between_them_are_no_trouble() -> None:
    loop = CapLoop(assumed(level_s=0.03, cap=8), slots=16, level_s=0.03, first_cap=8)
    for _ in range(200):
        loop.observe(8, 0.0)
    assert loop.cap >= 8


def test_a_single_long_gap_does_not_move_the_cap() -> None:
    loop = CapLoop(assumed(level_s=0.03, cap=8), slots=16, level_s=0.03, first_cap=8)
    world = Simulated(lambda n: 0.02 + 0.00115 * n, loop, 0.02, 0)
    world.run(500)
    before = loop.cap
    loop.observe(before, 5.0)
    assert loop.cap == before


def test_gaps_of_one_step_count_once_however_many_generations_see_them() -> None:
    def samples(streams: int) -> list[int]:
        loop = CapLoop(assumed(level_s=0.03, cap=8), slots=16, level_s=0.03, first_cap=8)
        caps = []
        for _ in range(60):
            for _ in range(streams):
                loop.observe(loop.cap, 0.05, 1 / streams)
            caps.append(loop.cap)
        return caps

    assert samples(1) == pytest.approx(samples(4), abs=1)


def test_the_cap_does_not_rise_on_what_was_never_seen() -> None:
    loop = CapLoop(assumed(level_s=0.1, cap=4), slots=64, level_s=0.1, first_cap=4)
    for _ in range(2000):
        loop.observe(2, 0.01)
    assert loop.cap == 4


def test_a_curve_is_straight_between_its_points_and_never_falls() -> None:
    points = [(1, 0.02), (4, 0.01), (8, 0.04)]
    curve = measured([BatchSizePoint(n, tpot_s, 0.1, 1.0) for n, tpot_s in points])
    assert [curve(n) for n in (1, 4, 6, 8, 12)] == pytest.approx([0.02, 0.02, 0.03, 0.04, 0.06])
