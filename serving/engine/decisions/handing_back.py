"""Handing generations back: for a hotswap by its policy, or all of them because the host ends.

Says which generations leave the old model now. What comes after the last of them is decided in
`host`, the pace of a staggered hand-back in `staggering`.
"""

from serving.engine.decisions import effects as fx
from serving.engine.decisions.generations import Generations, halted
from serving.engine.decisions.staggering import STAGGER_S, next_to_leave
from serving.engine.decisions.transaction import Transaction
from serving.wire import HandedBack

_FRAME = HandedBack("hotswap")


def everything(generations: Generations) -> list[fx.Effect]:
    """Hand back everything: the host ends."""
    frame = HandedBack("shutdown")
    return [
        *generations.close_waiting(frame),
        *generations.halt_running(frame),
        *generations.halt_leaving(frame),
    ]


def at_once(generations: Generations, transaction: Transaction) -> list[fx.Effect]:
    """What leaves as the hotswap begins: all that waits, and by its policy what runs."""
    waited = len(generations.admission.waiting)
    effects = generations.close_waiting(_FRAME)
    halts: list[fx.Effect] = []
    if transaction.policy == "hand_back":
        halts = generations.halt_running(_FRAME, evictable_only=True)
    transaction.handed_back = waited + _count(halts)
    return effects + halts


def next_ones(
    generations: Generations, transaction: Transaction, prefill_tokens_per_s: float, now: float
) -> list[fx.Effect]:
    """The next of those still on the old engine, in a staggered hand-back."""
    old = generations.leaving if transaction.wakes_first else generations.admission.on_engine()
    left_s = transaction.phase_began_at + STAGGER_S - now
    leave_now, next_after_s = next_to_leave(old.values(), left_s, prefill_tokens_per_s)
    transaction.handed_back += len(leave_now)
    effects = halted(leave_now, _FRAME)
    if next_after_s is not None:
        effects.append(fx.HandBackTimer(transaction.step, next_after_s))
    return effects


def the_rest(generations: Generations, transaction: Transaction) -> list[fx.Effect]:
    """Time is up: what is still on the old engine."""
    effects = generations.halt_leaving(_FRAME)
    if not transaction.wakes_first:
        effects += generations.halt_running(_FRAME)
    transaction.handed_back += _count(effects)
    return effects


def ended(generations: Generations, transaction: Transaction) -> bool:
    """Whether the old engine runs nothing any more."""
    return not generations.leaving and (
        transaction.wakes_first or not generations.admission.on_engine()
    )


def _count(effects: list[fx.Effect]) -> int:
    return sum(isinstance(effect, fx.Halt) for effect in effects)
