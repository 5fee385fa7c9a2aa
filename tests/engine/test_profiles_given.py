"""Being given a batch-size profile, and being given it again."""

from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.engine.decisions.limits import Caps, Limits
from serving.wire import BatchSizePoint, BatchSizeProfile


def a_profile(measured_at: float) -> BatchSizeProfile:
    points = [BatchSizePoint(size, 0.01 * size, 0.1, 50.0 * size) for size in (1, 2, 4, 8)]
    return BatchSizeProfile(model="a", hardware="a machine", measured_at=measured_at, points=points)


def remembered(effects: list[fx.Effect]) -> bool:
    return any(isinstance(effect, fx.RememberProfile) for effect in effects)


def answered(effects: list[fx.Effect]) -> bool:
    return any(isinstance(effect, fx.Answer) and effect.refusal is None for effect in effects)


def test_a_profile_known_already_is_answered_and_changes_nothing() -> None:
    caps = Caps({"a": Limits(slots=8, interactive_cap=2)})

    first, again, newer = (
        caps.profiled(ev.Profiled(ticket, a_profile(at))) for ticket, at in ((1, 5), (2, 5), (3, 6))
    )

    assert [remembered(effects) for effects in (first, again, newer)] == [True, False, True]
    assert all(answered(effects) for effects in (first, again, newer))


def test_a_profile_known_from_before_a_restart_is_not_begun_from_again() -> None:
    caps = Caps({"a": Limits(slots=8, interactive_cap=2)}, [a_profile(5)])

    assert not remembered(caps.profiled(ev.Profiled(1, a_profile(5))))
