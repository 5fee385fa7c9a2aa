"""What residency keeps where, whatever is asked of a host: it settles, within its budget."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from serving.engine.decisions.effects import Move
from serving.engine.decisions.residency import HEIGHT, Residency
from serving.wire import Tier

GIB = 1024**3
PROCESS = GIB // 4
MODELS = ["a", "b", "c", "d"]
models = st.sampled_from(MODELS)
weights = st.fixed_dictionaries({model: st.integers(1, 8) for model in MODELS})
budgets = st.integers(0, 40)
LONGEST = 60


@dataclass
class Shelf:
    """A host without requests: engines that do at once what residency decides."""

    weights: dict[str, int]
    residency: Residency
    now: float = 0.0

    @classmethod
    def of(cls, weights: dict[str, int], budget: int, standbys: list[str]) -> "Shelf":
        """Every model was awake once, the first one is: all sizes are known."""
        residency = Residency(
            MODELS,
            budget_bytes=budget * GIB,
            kv_cache_bytes=dict.fromkeys(MODELS, GIB),
            standbys=standbys,
        )
        residency.prewarm = True
        shelf = cls(weights, residency)
        for model in reversed(MODELS):
            shelf.swap(model)
        return shelf

    def swap(self, model: str) -> list[Move]:
        """A hotswap to `model`, and the moves that follow."""
        tiers = self.residency.tiers
        from_tier = tiers[model]
        for other, tier in tiers.items():
            if tier == "awake" and other != model:
                self.residency.set_tier(other, "asleep")
        self.residency.set_tier(model, "awake")
        self.residency.brought_back(model, from_tier, 5.0 - HEIGHT[from_tier])
        return self.settle()

    def settle(self) -> list[Move]:
        """Do what is due until nothing is."""
        moves: list[Move] = []
        self.measure()
        while (move := self.residency.next_move(busy=False, now=self.now)) is not None:
            moves.append(move)
            assert len(moves) < LONGEST, "it never settles"
            self.now += 1.0
            self.residency.moved(move.model, move.tier, None, self.now)
            self.measure()
        return moves

    def measure(self) -> None:
        sizes = {model: self.size(model) for model in MODELS}
        self.residency.measured({model: size for model, size in sizes.items() if size})

    def size(self, model: str) -> int:
        tier = self.residency.tiers[model]
        whole = PROCESS + self.weights[model] * GIB
        of_tier: dict[Tier, int] = {"awake": whole + GIB, "asleep": whole, "parked": PROCESS}
        return of_tier.get(tier, 0)

    def idle(self, tier: Tier) -> list[str]:
        return [model for model in MODELS if self.residency.tiers[model] == tier]

    def held(self) -> int:
        return sum(self.size(model) for model in (*self.idle("asleep"), *self.idle("parked")))


patterns = st.lists(models, min_size=1, max_size=12)
standby_lists = st.lists(models, max_size=2, unique=True)


@given(weights, budgets, standby_lists, patterns)
def test_once_settled_the_idle_models_are_within_the_budget(
    sizes: dict[str, int], budget: int, standbys: list[str], pattern: list[str]
) -> None:
    shelf = Shelf.of(sizes, budget, standbys)
    for model in pattern:
        shelf.swap(model)
        assert shelf.held() <= budget * GIB


@given(weights, budgets, standby_lists, patterns)
def test_between_two_hotswaps_no_model_moves_up_and_down(
    sizes: dict[str, int], budget: int, standbys: list[str], pattern: list[str]
) -> None:
    shelf = Shelf.of(sizes, budget, standbys)
    for wanted in pattern:
        before = dict(shelf.residency.tiers) | {wanted: "awake"}
        for move in shelf.swap(wanted):
            start = "asleep" if before[move.model] == "awake" else before[move.model]
            up = HEIGHT[shelf.residency.tiers[move.model]] > HEIGHT[start]
            assert up == (move.tier == "asleep"), f"{move.model} moved there and back"
        assert shelf.settle() == [], "it was not settled"


@given(weights, budgets, standby_lists, st.lists(models, min_size=1, max_size=4))
def test_a_pattern_of_requests_that_repeats_comes_to_repeat_its_moves(
    sizes: dict[str, int], budget: int, standbys: list[str], pattern: list[str]
) -> None:
    shelf = Shelf.of(sizes, budget, standbys)
    # Models that nobody asks for lose their worth with every swap, and one day their place.
    rounds = [[shelf.swap(model) for model in pattern] for _ in range(400)]
    tails = [rounds[-period:] == rounds[-2 * period : -period] for period in range(1, 9)]
    assert any(tails), "its moves never repeat"
    if budget >= sum(sizes.values()) + 5 * len(sizes):
        assert not any(moves for one in rounds[1:] for moves in one), "it moves what fits"


@given(weights, budgets, standby_lists, patterns)
def test_standbys_that_fit_are_asleep_or_awake_once_settled(
    sizes: dict[str, int], budget: int, standbys: list[str], pattern: list[str]
) -> None:
    shelf = Shelf.of(sizes, budget, [])
    shelf.residency.want(standbys)
    needed = sum(PROCESS + (sizes[model] + 1) * GIB for model in standbys)
    for model in pattern:
        shelf.swap(model)
        if needed <= budget * GIB:
            assert set(standbys) <= {*shelf.idle("asleep"), *shelf.idle("awake")}


@given(weights, budgets, patterns, models)
def test_what_does_not_fit_is_refused_by_name(
    sizes: dict[str, int], budget: int, pattern: list[str], asked: str
) -> None:
    shelf = Shelf.of(sizes, budget, [])
    for model in pattern:
        shelf.swap(model)
    if shelf.residency.tiers[asked] == "awake":
        return
    own = shelf.size(asked)
    fits = shelf.held() - own + PROCESS + (sizes[asked] + 1) * GIB <= budget * GIB
    shortage = shelf.residency.shortage(asked)
    assert (shortage is None) == fits
    assert shortage is None or shortage.startswith(f"{asked} needs ")
