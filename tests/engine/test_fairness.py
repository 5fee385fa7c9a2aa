"""Accounts share a host by their weights, and none starves."""

from collections import Counter
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from serving.engine.decisions.fairness import UNHURRIED_S, FairShares
from serving.engine.decisions.generation import Generation

numbers = count()


def generation(
    account: str,
    *,
    weight: float = 1.0,
    tokens: int = 10,
    resumed: bool = False,
    due_in_s: float | None = None,
) -> Generation:
    number = next(numbers)
    at = float(number)
    return Generation(
        f"g{number}",
        "batch",
        True,
        tokens,
        at,
        account=account,
        weight=weight,
        resumed=resumed,
        deadline_at=None if due_in_s is None else at + due_in_s,
    )


class Engine:
    """One class of one host: `slots` places, in which every generation gets a token a step."""

    def __init__(self, slots: int) -> None:
        self.shares, self.slots = FairShares(), slots
        self.waiting: list[Generation] = []
        self.running: dict[str, tuple[Generation, int]] = {}
        self.service: Counter[str] = Counter()
        self.order: list[str] = []

    def step(self, output_tokens: int) -> None:
        turns = self.shares.turns(self.waiting)
        while len(self.running) < self.slots:
            chosen = next(turns, None)
            if chosen is None:
                break
            self.waiting.remove(chosen)
            self.shares.admitted(chosen)
            self.service[chosen.account] += chosen.tokens
            self.running[chosen.key] = (chosen, output_tokens)
            self.order.append(chosen.key)
        for key, (running, left) in list(self.running.items()):
            self.shares.served(running, 1)
            self.service[running.account] += 1
            self.running[key] = (running, left - 1)
            if left == 1:
                del self.running[key]


def test_one_account_alone_is_served_in_order_of_arrival() -> None:
    engine = Engine(slots=2)
    engine.waiting = [generation("a") for _ in range(6)]
    arrived = [g.key for g in engine.waiting]
    for _ in range(20):
        engine.step(output_tokens=3)
    assert engine.order == arrived


def test_what_was_resumed_goes_before_what_was_not_within_an_account() -> None:
    shares = FairShares()
    fresh, resumed = generation("a"), generation("a", resumed=True)
    assert [g.key for g in shares.turns([fresh, resumed])] == [resumed.key, fresh.key]


def test_what_is_due_sooner_goes_before_what_came_earlier_within_an_account() -> None:
    shares = FairShares()
    undated, distant = generation("a"), generation("a", due_in_s=80_000.0)
    soon, sooner = generation("a", due_in_s=60.0), generation("a", due_in_s=10.0)
    turns = shares.turns([undated, distant, soon, sooner])
    assert [g.key for g in turns] == [sooner.key, soon.key, undated.key, distant.key]


def test_nobody_is_overtaken_for_ever_by_what_is_due_soon() -> None:
    shares = FairShares()
    patient = generation("a")
    for _ in range(int(UNHURRIED_S)):
        generation("a")  # the clock of arrivals goes on
    late = generation("a", due_in_s=1.0)
    assert [g.key for g in shares.turns([late, patient])] == [patient.key, late.key]


def test_nobodys_deadline_counts_against_another_account() -> None:
    shares = FairShares()
    hers, his = generation("hers"), generation("his", due_in_s=1.0)
    assert [g.key for g in shares.turns([his, hers])] == [hers.key, his.key]


@given(
    weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 4.0]), min_size=2, max_size=4),
    prompts=st.lists(st.integers(1, 60), min_size=4, max_size=4),
    outputs=st.integers(1, 40),
    slots=st.integers(1, 4),
)
def test_backlogged_accounts_get_tokens_by_their_weights(
    weights: list[float], prompts: list[int], outputs: int, slots: int
) -> None:
    engine = Engine(slots)
    accounts = {f"a{i}": weight for i, weight in enumerate(weights)}
    while sum(engine.service.values()) < 40_000:
        for (account, weight), prompt in zip(accounts.items(), prompts, strict=False):
            if sum(g.account == account for g in engine.waiting) < slots:
                engine.waiting += [
                    generation(account, weight=weight, tokens=prompt) for _ in range(slots)
                ]
        engine.step(outputs)
    total = sum(engine.service.values())
    # The bound of fair queueing: one generation a slot and account.
    largest = slots * (max(prompts) + outputs) * max(weights) / min(weights)
    for account, weight in accounts.items():
        fair = total * weight / sum(weights)
        assert abs(engine.service[account] - fair) <= 2 * largest * len(weights)


@given(flood=st.integers(1, 200), slots=st.integers(1, 4))
def test_a_flood_of_one_account_delays_another_by_a_bounded_wait(flood: int, slots: int) -> None:
    engine = Engine(slots)
    engine.waiting = [generation("flood") for _ in range(flood)]
    engine.step(output_tokens=5)
    engine.waiting.append(generation("other"))
    steps = 0
    while any(g.account == "other" for g in engine.waiting):
        engine.step(output_tokens=5)
        steps += 1
    assert steps <= 6, "it has the first slot that comes free"


def test_an_account_that_paused_does_not_get_what_it_did_not_use() -> None:
    engine = Engine(slots=1)
    for _ in range(50):
        engine.waiting.append(generation("steady"))
        engine.step(output_tokens=1)
    for account in ("steady", "back") * 10:
        engine.waiting.append(generation(account))
    engine.service.clear()
    for _ in range(10):
        engine.step(output_tokens=1)
    assert abs(engine.service["steady"] - engine.service["back"]) <= 11
