"""Steps of batch work that are abandoned for an interactive request, and what is left of them."""

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test
from torch import nn
from vllm.config import VllmConfig
from vllm.v1.core.sched.output import SchedulerOutput

from serving.engine.vllm.abandoning import Arrivals, Gate, StepAbandoned, give_gate
from serving.engine.vllm.abandoning_scheduler import MOST_STEPS_SPARED
from serving.engine.vllm.layer_gates import LayerGates, decoder_layers
from tests.engine.test_vllm_scheduler import PLENTY, Machine, prompt
from tests.fakes.bare_scheduler import (
    BLOCK_TOKENS,
    LAYERS,
    SLOTS,
    STEP_TOKENS,
    BareEngine,
    bare_config,
    generated,
)

EARLY, LATE = 1, LAYERS - 1


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> VllmConfig:
    return bare_config(tmp_path_factory.mktemp("model"))


@pytest.fixture
def engine(config: VllmConfig) -> BareEngine:
    return BareEngine(config, blocks=PLENTY, abandoning=True)


@pytest.mark.parametrize(
    ("layer", "layers", "stops"), [(0, 30, True), (22, 30, True), (23, 30, False), (0, 1, True)]
)
def test_a_step_is_abandoned_while_a_quarter_of_its_layers_is_left(
    layer: int, layers: int, stops: bool
) -> None:
    arrivals = Arrivals()
    gate = Gate(arrivals)
    gate.before_layer(layer, layers)
    arrivals.received("i")
    if stops:
        with pytest.raises(StepAbandoned):
            gate.before_layer(layer, layers)
    else:
        gate.before_layer(layer, layers)


def test_one_arrival_abandons_one_step() -> None:
    arrivals = Arrivals()
    gate = Gate(arrivals)
    arrivals.received("i")
    with pytest.raises(StepAbandoned):
        gate.before_layer(0, LAYERS)
    gate.before_layer(0, LAYERS)


def test_a_request_that_the_scheduler_has_abandons_nothing() -> None:
    arrivals = Arrivals()
    arrivals.received("i")
    arrivals.scheduler_has("i")
    Gate(arrivals).before_layer(0, LAYERS)


def test_decodes_that_were_abandoned_are_computed_again_in_the_same_places(
    engine: BareEngine,
) -> None:
    for i in range(SLOTS):
        engine.add(f"b{i}", prompt(i), 12, batch=True)
    engine.step()
    engine.step()
    cached, free = engine.cached_tokens("b0"), engine.free_blocks()
    assert engine.step_with_arrival(EARLY)
    assert engine.cached_tokens("b0") == cached
    taken = free - engine.free_blocks()
    assert engine.step() == {f"b{i}": 1 for i in range(SLOTS)}
    assert free - engine.free_blocks() == taken, "no block is taken twice"
    engine.run()
    assert engine.tokens == {f"b{i}": generated(prompt(i), 12) for i in range(SLOTS)}


def test_a_step_that_is_computed_again_is_not_abandoned_again(engine: BareEngine) -> None:
    engine.add("b", prompt(1), 12, batch=True)
    engine.step()
    assert [engine.step_with_arrival(EARLY) for _ in range(4)] == [True, False, True, False]
    assert len(engine.tokens["b"]) == 3


def test_the_request_it_was_abandoned_for_does_not_wait_until_it_is_computed_again(
    engine: BareEngine,
) -> None:
    for i in range(SLOTS):
        engine.add(f"b{i}", prompt(i), 12, batch=True)
    engine.step()
    assert engine.step_with_arrival(EARLY)
    engine.add("i", prompt(9), 4, batch=False)
    assert set(engine.step()) == {"i"}, "though no slot is free, and the host has held nothing yet"


def test_batch_work_sits_out_while_an_interactive_prompt_is_computed_and_goes_on_beside_its_decodes(
    engine: BareEngine,
) -> None:
    engine.add("b", prompt(1), 12, batch=True)
    engine.step()
    engine.add("i", prompt(2, STEP_TOKENS + 10), 4, batch=False)
    engine.steer()
    assert engine.step() == {"i": STEP_TOKENS}
    assert engine.step() == {"i": 10}
    assert engine.step() == {"b": 1, "i": 1}


def test_however_long_interactive_prompts_take_batch_work_gets_a_step_in_between(
    engine: BareEngine,
) -> None:
    engine.add("b", prompt(1), 12, batch=True)
    engine.step()
    engine.add("i", prompt(2, 6 * STEP_TOKENS), 4, batch=False)
    engine.steer()
    with_batch = ["b" in engine.step() for _ in range(2 * MOST_STEPS_SPARED)]
    once = [*[False] * MOST_STEPS_SPARED, True]
    assert with_batch == [*once, *once][: len(with_batch)]


def test_interactive_work_in_between_does_not_let_it_be(engine: BareEngine) -> None:
    engine.add("b", prompt(1), 12, batch=True)
    engine.step()
    assert engine.step_with_arrival(EARLY)
    engine.steer("b")
    engine.add("i", prompt(2), 2, batch=False)
    engine.run()
    engine.steer()
    assert not engine.step_with_arrival(EARLY)
    assert engine.step_with_arrival(EARLY)


def test_what_a_step_has_almost_done_is_not_thrown_away(engine: BareEngine) -> None:
    engine.add("b", prompt(1), 12, batch=True)
    engine.step()
    assert not engine.step_with_arrival(LATE)
    assert len(engine.tokens["b"]) == 2


def test_a_step_with_interactive_work_in_it_is_not_abandoned(engine: BareEngine) -> None:
    engine.add("b", prompt(1), 12, batch=True)
    engine.add("i", prompt(2), 12, batch=False)
    engine.step()
    assert not engine.step_with_arrival(EARLY)
    assert len(engine.tokens["i"]) == 2


def test_a_prompt_that_was_abandoned_is_computed_again_whole(engine: BareEngine) -> None:
    engine.add("long", prompt(1, STEP_TOKENS + 20), 4, batch=True)
    assert engine.step_with_arrival(EARLY)
    assert engine.cached_tokens("long") == 0
    assert engine.step() == {"long": STEP_TOKENS}
    assert engine.step_with_arrival(EARLY)
    assert engine.cached_tokens("long") == STEP_TOKENS
    assert engine.step() == {"long": 20}
    engine.run()
    assert engine.tokens["long"] == generated(prompt(1, STEP_TOKENS + 20), 4)


def test_an_abandoned_prompt_is_a_prompt_again_and_sits_out_beside_an_interactive_one(
    engine: BareEngine,
) -> None:
    engine.add("b", prompt(1), 4, batch=True)
    assert engine.step_with_arrival(EARLY)
    engine.add("i", prompt(2), 4, batch=False)
    assert engine.step() == {"i": 10}
    engine.run()
    assert engine.tokens["b"] == generated(prompt(1), 4)


def test_nobody_finds_a_block_of_an_abandoned_step_in_the_prefix_cache(
    engine: BareEngine,
) -> None:
    shared = prompt(1, 4 * BLOCK_TOKENS)
    engine.add("b", shared, 4, batch=True)
    assert engine.step_with_arrival(EARLY)
    engine.steer("b")
    engine.add("i", [*shared, 7], 4, batch=False)
    assert engine.step() == {"i": len(shared) + 1}
    engine.run()
    assert engine.tokens["i"] == generated([*shared, 7], 4)


def test_blocks_of_steps_that_were_computed_are_found_there(engine: BareEngine) -> None:
    shared = prompt(1, 4 * BLOCK_TOKENS)
    engine.add("b", shared, 4, batch=True)
    engine.step()
    engine.add("i", [*shared, 7], 4, batch=False)
    assert engine.step() == {"i": 1}


def test_a_generation_aborted_during_an_abandoned_step_leaks_nothing(engine: BareEngine) -> None:
    free = engine.free_blocks()
    engine.add("b", prompt(1), 12, batch=True)
    engine.step()
    assert engine.step_with_arrival(EARLY)
    engine.abort("b")
    engine.run()
    assert engine.free_blocks() == free


def test_a_scheduler_that_cannot_undo_a_step_never_has_one_abandoned(config: VllmConfig) -> None:
    engine = BareEngine(config, blocks=PLENTY)
    engine.add("b", prompt(1), 12, batch=True)
    engine.step()
    engine.step()
    assert engine.abandoned == 0


class Interrupted(Machine):
    """The same, with steps abandoned at any layer; prompts are alike, so that they share blocks."""

    PROMPTS = 2

    @initialize(blocks=st.integers(14, 60))
    def begin(self, blocks: int) -> None:
        self.start(BareEngine(self.config, blocks=blocks, abandoning=True))

    @rule(layer=st.integers(0, LAYERS - 1), again=st.integers(1, 4))
    def is_interrupted(self, layer: int, again: int) -> None:
        for _ in range(again):
            self.engine.step_with_arrival(layer)


def test_whatever_is_abandoned_every_generation_gets_the_tokens_of_an_undisturbed_run(
    config: VllmConfig,
) -> None:
    machine = type("Configured", (Interrupted,), {"config": config})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=80, stateful_step_count=30, deadline=None)
    )


def model_of(*lengths: int) -> nn.Module:
    lists = [nn.ModuleList(nn.Identity() for _ in range(length)) for length in lengths]
    return nn.ModuleList(lists)


def test_the_layers_of_a_model_are_its_one_list_of_that_length() -> None:
    model = model_of(4, 7)
    assert len(decoder_layers(model, 4)) == 4
    assert list(decoder_layers(model, 5)) == []
    assert list(decoder_layers(model_of(4, 4), 4)) == []


def test_layers_compute_a_step_without_a_gate_whoever_comes() -> None:
    layers = decoder_layers(model_of(4), 4)
    gates = LayerGates(layers)
    step = SchedulerOutput.make_empty()
    gates.open_for(step)
    layers[0](torch.zeros(1))
    arrivals = Arrivals()
    give_gate(step, Gate(arrivals))
    arrivals.received("i")
    gates.open_for(step)
    with pytest.raises(StepAbandoned):
        layers[1](torch.zeros(1))
    arrivals.received("j")
    gates.close()
    layers[1](torch.zeros(1))
