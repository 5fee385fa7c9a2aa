"""Renders `docs/hotswap.md`, the hotswap's table of states and transitions, from the transaction.

python -m serving.engine.decisions.table > docs/hotswap.md

The table is found by walking: every phase that can be reached is left once well and once badly.
"""

from collections.abc import Callable
from dataclasses import replace

from serving.engine.decisions.transaction import Transaction

_INTRODUCTION = """\
# A hotswap's states and transitions

What a hotswap does after each phase, when it went well and when it failed. What the phases are
stands in `serving/engine/README.md`. An ending is bold and says which model is awake then.
`canary`, `sleep` and `put_back` also measure their engine's memory, and have failed if it holds
more than it should.

This page is rendered from the code: `python -m serving.engine.decisions.table > docs/hotswap.md`.
"""


def _start(transaction: Transaction) -> Transaction:
    return replace(transaction, from_model=None)


def _sleep_first(transaction: Transaction) -> Transaction:
    return transaction


def _wake_first(transaction: Transaction) -> Transaction:
    return replace(transaction, wakes_first=True)


def _cancelled(transaction: Transaction) -> Transaction:
    return replace(transaction, wakes_first=True, cancelled=True)


def _fetched(transaction: Transaction) -> Transaction:
    return replace(transaction, from_tier="absent")


def _old_lost(transaction: Transaction) -> Transaction:
    return replace(transaction, wakes_first=True, old_lost=True)


_CASES: tuple[tuple[str, Callable[[Transaction], Transaction]], ...] = (
    ("A start: there is no old model", _start),
    ("The old model sleeps first", _sleep_first),
    ("Both fit: the new model wakes first", _wake_first),
    ("The new model's weights are not on disk, then the old one sleeps first", _fetched),
    ("The new model wakes first, and the hotswap is cancelled before the switch", _cancelled),
    ("The new model wakes first, and the old engine dies before the switch", _old_lost),
)


def render() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(_section(title, case) for title, case in _CASES)])


def _section(title: str, case: Callable[[Transaction], Transaction]) -> str:
    transaction = case(Transaction("new", "old", "asleep", began_at=0.0))
    transaction.begin(1, 0.0)
    rows, reached, seen = [], [transaction], {transaction.phase}
    while reached:
        before = reached.pop(0)
        well, badly = _after(before, None), _after(before, "it failed")
        rows.append(f"| `{before.phase}` | {_name(well)} | {_name(badly)} |")
        for after in (well, badly):
            if after.outcome is None and after.phase not in seen:
                seen.add(after.phase)
                reached.append(after)
    return "\n".join(
        [f"## {title}", "", "| phase | went well | failed |", "|---|---|---|", *rows, ""]
    )


def _after(before: Transaction, error: str | None) -> Transaction:
    after = replace(before, phases_s=dict(before.phases_s))
    after.advance(error, 0.0)
    return after


def _name(transaction: Transaction) -> str:
    if transaction.outcome is None:
        return f"`{transaction.phase}`"
    awake = transaction.awake_after
    return f"**{transaction.outcome.replace('_', ' ')}**: {awake or 'none'} awake"


if __name__ == "__main__":
    print(render(), end="")
