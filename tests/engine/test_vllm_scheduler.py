"""The steered scheduler over vLLM's own queues and blocks, with a model that only counts."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from vllm.config import VllmConfig

from tests.fakes.bare_scheduler import (
    SLOTS,
    STEP_TOKENS,
    BareEngine,
    bare_config,
    generated,
)

PLENTY = 200


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> VllmConfig:
    return bare_config(tmp_path_factory.mktemp("model"))


@pytest.fixture(params=["in step", "a step ahead"])
def engine(config: VllmConfig, request: pytest.FixtureRequest) -> BareEngine:
    return BareEngine(config, blocks=PLENTY, ahead=request.param == "a step ahead")


def prompt(seed: int, length: int = 10) -> list[int]:
    return [(seed * 97 + i) % 900 for i in range(length)]


def test_a_held_generation_goes_on_where_it_was(engine: BareEngine) -> None:
    engine.add("batch", prompt(1), 20, batch=True)
    engine.add("other", prompt(2), 20, batch=False)
    for _ in range(5):
        engine.step()
    engine.steer("batch")
    cached = engine.cached_tokens("batch")
    for _ in range(6):
        assert "batch" not in engine.step()
    assert engine.cached_tokens("batch") == cached
    assert len(engine.tokens["batch"]) < len(engine.tokens["other"])
    engine.steer()
    assert engine.step()["batch"] == 1, "nothing is computed again"
    engine.run()
    assert engine.tokens == {
        "batch": generated(prompt(1), 20),
        "other": generated(prompt(2), 20),
    }


def test_an_engine_with_nothing_but_held_generations_rests(engine: BareEngine) -> None:
    engine.add("a", prompt(1), 20, batch=True)
    engine.add("b", prompt(2), 20, batch=True)
    engine.step()
    engine.steer("a", "b")
    engine.run()
    assert not engine.scheduler.has_requests()
    assert not engine.ended
    engine.steer()
    engine.run()
    assert engine.ended == {"a", "b"}


def test_a_generation_held_before_it_arrives_does_not_begin(engine: BareEngine) -> None:
    engine.steer("batch")
    engine.add("batch", prompt(1), 5, batch=True)
    assert not engine.scheduler.has_requests()
    engine.steer()
    engine.run()
    assert engine.tokens["batch"] == generated(prompt(1), 5)


def test_what_is_held_by_a_key_nobody_has_is_ignored(engine: BareEngine) -> None:
    engine.steer("gone")
    engine.add("batch", prompt(1), 5, batch=True)
    engine.run()
    assert engine.ended == {"batch"}


def with_batch_decodes(engine: BareEngine) -> BareEngine:
    """Every slot has a batch generation beyond its prompt."""
    for i in range(SLOTS):
        engine.add(f"b{i}", prompt(i), 12, batch=True)
    engine.step()
    engine.step()
    return engine


def test_interactive_work_that_comes_to_batch_work_begins_alone_though_nothing_is_held_yet(
    engine: BareEngine,
) -> None:
    with_batch_decodes(engine).add("i", prompt(9), 12, batch=False)
    assert set(engine.step()) == {"i"}
    assert len(engine.step()) == SLOTS, "for one step: without a word of the host batch goes on"
    engine.run()
    assert engine.tokens["b0"] == generated(prompt(0), 12)


def test_what_the_host_lets_go_on_beside_interactive_work_is_in_its_first_step(
    engine: BareEngine,
) -> None:
    with_batch_decodes(engine).add("i", prompt(9), 12, batch=False)
    engine.steer("b1", "b2", "b3")
    assert set(engine.step()) == {"i", "b0"}


def test_batch_sits_out_once_for_a_burst_not_for_each_of_its_requests(engine: BareEngine) -> None:
    with_batch_decodes(engine).add("i", prompt(9), 12, batch=False)
    engine.step()
    engine.steer("b1", "b2", "b3")
    engine.add("j", prompt(10), 12, batch=False)
    assert set(engine.step()) == {"i", "j", "b0"}


@pytest.mark.parametrize("keeps_places", [False, True])
def test_interactive_prompts_start_while_every_slot_is_held(
    config: VllmConfig, keeps_places: bool
) -> None:
    engine = BareEngine(config, blocks=PLENTY, keeps_places=keeps_places)
    batch = [f"b{i}" for i in range(SLOTS)]
    for i, key in enumerate(batch):
        engine.add(key, prompt(i), 12, batch=True)
    engine.step()
    engine.step()
    engine.steer(*batch)
    for i in range(SLOTS):
        engine.add(f"i{i}", prompt(10 + i), 4, batch=False)
    assert set(engine.step()) == {f"i{i}" for i in range(SLOTS)}
    engine.run()
    engine.steer()
    engine.run()
    for i, key in enumerate(batch):
        assert engine.tokens[key] == generated(prompt(i), 12)


def test_a_batch_prompt_alone_gets_a_place_though_every_place_is_held(config: VllmConfig) -> None:
    engine = BareEngine(config, blocks=PLENTY, keeps_places=True)
    for i in range(SLOTS):
        engine.add(f"b{i}", prompt(i), 12, batch=True)
    engine.step()
    engine.steer(*(f"b{i}" for i in range(SLOTS)))
    engine.add("next", prompt(9), 4, batch=True)
    engine.run()
    assert engine.tokens["next"] == generated(prompt(9), 4)
    engine.steer()
    engine.run()
    for i in range(SLOTS):
        assert engine.tokens[f"b{i}"] == generated(prompt(i), 12)


def test_more_released_than_fit_take_turns_by_age(engine: BareEngine) -> None:
    for i in range(SLOTS):
        engine.add(f"b{i}", prompt(i), 12, batch=True)
    engine.step()
    engine.steer(*(f"b{i}" for i in range(SLOTS)))
    engine.add("i", prompt(9), 12, batch=False)
    engine.step()
    engine.steer()
    assert set(engine.step()) == {"i", "b0", "b1", "b2"}
    engine.run()
    assert engine.tokens["b3"] == generated(prompt(3), 12)


@pytest.mark.parametrize("running", [False, True])
def test_a_held_generation_can_be_aborted(engine: BareEngine, running: bool) -> None:
    free = engine.free_blocks()
    engine.add("batch", prompt(1), 20, batch=True)
    if running:
        engine.step()
    engine.steer("batch")
    engine.step()
    engine.abort("batch")
    engine.run()
    assert engine.free_blocks() == free
    assert not engine.scheduler.requests


def test_when_blocks_run_out_held_generations_lose_theirs_the_newest_first(
    config: VllmConfig,
) -> None:
    engine = BareEngine(config, blocks=16)
    for i in range(3):
        engine.add(f"b{i}", prompt(i, 16), 8, batch=True)
    engine.step()
    engine.step()
    engine.steer("b0", "b1", "b2")
    engine.add("i", prompt(9, 16), 2, batch=False)
    assert engine.step() == {"i": 16}
    assert engine.cached_tokens("b0") == 17
    assert engine.cached_tokens("b1") == 17
    assert engine.cached_tokens("b2") == 0
    engine.run()
    engine.steer()
    engine.run()
    for i in range(3):
        assert engine.tokens[f"b{i}"] == generated(prompt(i, 16), 8)


def test_a_batch_prompt_displaces_no_held_generation_while_others_run(config: VllmConfig) -> None:
    engine = BareEngine(config, blocks=12)
    engine.add("held", prompt(1, 16), 8, batch=True)
    engine.step()
    engine.add("i", prompt(2, 8), 8, batch=False)
    engine.step()
    engine.steer("held")
    engine.add("next", prompt(3, 24), 4, batch=True)
    engine.step()
    engine.step()
    assert engine.cached_tokens("held") > 0
    assert engine.cached_tokens("next") == 0
    engine.run()
    assert engine.tokens["next"] == generated(prompt(3, 24), 4)
    engine.steer()
    engine.run()
    assert engine.tokens["held"] == generated(prompt(1, 16), 8)


def test_a_batch_prompt_that_runs_alone_displaces_older_held_generations(
    config: VllmConfig,
) -> None:
    engine = BareEngine(config, blocks=12)
    engine.add("old", prompt(1, 28), 4, batch=True)
    engine.step()
    engine.steer("old")
    engine.add("new", prompt(2, 28), 4, batch=True)
    assert engine.step() == {"new": 28}
    engine.run()
    assert engine.tokens["new"] == generated(prompt(2, 28), 4)
    engine.steer()
    engine.run()
    assert engine.tokens["old"] == generated(prompt(1, 28), 4)


def test_batch_prompts_share_a_budget_of_tokens_a_step_and_interactive_ones_do_not(
    engine: BareEngine,
) -> None:
    engine.steer(batch_prefill_tokens=6)
    engine.add("running", prompt(0), 30, batch=True)
    while not engine.tokens["running"]:
        engine.step()
    engine.add("b1", prompt(1, 20), 2, batch=True)
    engine.add("b2", prompt(2, 20), 2, batch=True)
    assert engine.step() == {"running": 1, "b1": 6}
    engine.add("i", prompt(3, 40), 2, batch=False)
    engine.steer(batch_prefill_tokens=6)
    assert engine.step() == {"running": 1, "i": 40}, "it goes before a prompt half done"
    assert engine.step() == {"running": 1, "i": 1, "b1": 6}
    engine.run()
    assert engine.tokens["b2"] == generated(prompt(2, 20), 2)


def test_an_interactive_prompt_longer_than_a_step_leaves_batch_prompts_what_is_over(
    engine: BareEngine,
) -> None:
    engine.add("b", prompt(1, STEP_TOKENS + 20), 2, batch=True)
    engine.step()
    engine.add("i", prompt(2, STEP_TOKENS + 10), 2, batch=False)
    assert engine.step() == {"i": STEP_TOKENS}
    assert engine.step() == {"i": 10, "b": 20}


def test_a_budget_of_nothing_stops_batch_prompts_and_lets_the_engine_rest(
    engine: BareEngine,
) -> None:
    engine.steer(batch_prefill_tokens=0)
    engine.add("b", prompt(1), 2, batch=True)
    assert not engine.scheduler.has_requests()
    engine.steer(batch_prefill_tokens=1)
    engine.run()
    assert engine.tokens["b"] == generated(prompt(1), 2)


def test_batch_prompts_half_done_give_way_to_an_interactive_prompt_that_needs_their_blocks(
    config: VllmConfig,
) -> None:
    engine = BareEngine(config, blocks=30)
    engine.add("b", prompt(1, STEP_TOKENS + 20), 2, batch=True)
    engine.step()
    engine.add("i", prompt(2, 60), 2, batch=False)
    assert engine.step() == {"i": 60}
    engine.run()
    assert engine.tokens == {
        "b": generated(prompt(1, STEP_TOKENS + 20), 2),
        "i": generated(prompt(2, 60), 2),
    }


class Machine(RuleBasedStateMachine):
    """Any order of arrivals, steerings, aborts and steps, on a KV cache that is often too small."""

    config: VllmConfig
    PROMPTS = 1000
    """Different ones; of those that are alike one is the beginning of the other."""

    @initialize(blocks=st.integers(14, 60), ahead=st.booleans(), keeps_places=st.booleans())
    def begin(self, blocks: int, ahead: bool, keeps_places: bool) -> None:
        self.start(BareEngine(self.config, blocks=blocks, ahead=ahead, keeps_places=keeps_places))

    def start(self, engine: BareEngine) -> None:
        self.engine = engine
        self.free = self.engine.free_blocks()
        self.prompts: dict[str, list[int]] = {}
        self.lengths: dict[str, int] = {}
        self.batch: set[str] = set()
        self.aborted: set[str] = set()
        self.held: set[str] = set()
        self.budget: int | None = None

    def live(self) -> list[str]:
        return sorted(self.prompts.keys() - self.engine.ended)

    @rule(length=st.integers(1, 30), count=st.integers(1, 12), batch=st.booleans())
    def arrives(self, length: int, count: int, batch: bool) -> None:
        key = f"{len(self.prompts)}"
        self.prompts[key] = prompt(len(self.prompts) % self.PROMPTS, length)
        self.lengths[key] = count
        if batch:
            self.batch.add(key)
        self.engine.add(key, self.prompts[key], count, batch=batch)

    @rule(data=st.data(), budget=st.sampled_from([None, 0, 1, 8, 100]))
    def is_steered(self, data: st.DataObject, budget: int | None) -> None:
        batch = [key for key in self.live() if key in self.batch]
        self.held = set(data.draw(st.lists(st.sampled_from(batch)))) if batch else set()
        self.budget = budget
        self.engine.steer(*self.held, "of nobody", batch_prefill_tokens=budget)

    @rule(data=st.data())
    def is_aborted(self, data: st.DataObject) -> None:
        if self.live():
            key = data.draw(st.sampled_from(self.live()))
            self.engine.abort(key)
            self.aborted.add(key)

    @rule(steps=st.integers(1, 6))
    def goes_on(self, steps: int) -> None:
        for _ in range(steps):
            scheduled = self.engine.step()
            assert not scheduled.keys() & self.held
            assert len(scheduled) <= SLOTS

    @invariant()
    def every_token_is_that_of_an_undisturbed_run(self) -> None:
        for key, tokens in self.engine.tokens.items():
            assert tokens == generated(self.prompts[key], self.lengths[key])[: len(tokens)]

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        self.engine.run()
        assert all(key in self.batch for key in self.live()), "interactive work never waits"
        self.engine.steer()
        self.engine.run()
        assert not self.live()
        for key in self.prompts.keys() - self.aborted:
            assert len(self.engine.tokens[key]) == self.lengths[key]
        assert self.engine.free_blocks() == self.free


def test_whatever_is_held_and_released_nothing_is_lost_and_nothing_leaks(
    config: VllmConfig,
) -> None:
    machine = type("Configured", (Machine,), {"config": config})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
    )
