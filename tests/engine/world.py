"""The world around a host's decisions: engines, clients and timers, and what effects do to them.

What may happen in it, and what must hold whatever happens, is in `host_world`.
"""

from hypothesis.stateful import RuleBasedStateMachine

from serving.engine.decisions import HostDecisions
from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.engine.decisions.fencing import ObeyedPlan
from serving.engine.decisions.generation import Generation
from serving.engine.decisions.limits import Limits
from serving.engine.decisions.staggering import STAGGER_S
from serving.engine.protocol import Steering
from serving.wire import RequestClass

GIB = 1024**3
MODELS = {"a": Limits(4, 2, 2 * GIB), "b": Limits(3, 3, 1 * GIB), "c": Limits(2, 1, 3 * GIB)}
WEIGHTS = {"a": 4 * GIB, "b": 5 * GIB, "c": 6 * GIB}
PROCESS = GIB
Step = fx.Fetch | fx.Sleep | fx.Wake | fx.Check | fx.Stop


class World(RuleBasedStateMachine):
    """One host's decisions and what they act on; asserts what no effect may ever do."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.count = 0
        self.make_host(budget=10, device=0)
        self.idle_engines: dict[str, str] = {}
        self.measured: set[str] = set()
        self.awake_engines: set[str] = set()
        self.step: Step | None = None
        self.move: fx.Move | None = None
        self.drain: int | None = None
        self.hand_back: int | None = None
        self.retry = False
        self.on_engine: dict[str, str] = {}
        self.held: set[str] = set()
        self.told: dict[str, Steering] = {}
        """What each engine's scheduler is held to."""
        self.halting: set[str] = set()
        self.open: set[str] = set()
        self.closed: dict[str, ev.Terminal | None] = {}
        self.tickets: set[int] = set()
        self.shut_down = False

    def make_host(self, *, budget: int, device: int | None) -> None:
        """`budget` and `device` in GiB."""
        self.budget = budget * GIB
        self.device = None if device is None else device * GIB
        self.host = HostDecisions(
            "host-0",
            MODELS,
            budget_bytes=self.budget,
            device_bytes=self.device,
            drain_s=1.0,
            obeyed=ObeyedPlan(),
        )

    def size(self, model: str) -> int:
        """What the engine of `model` holds."""
        if model in self.awake_engines:
            return PROCESS + WEIGHTS[model] + MODELS[model].kv_cache_bytes
        asleep = self.idle_engines[model] == "asleep"
        return PROCESS + (WEIGHTS[model] if asleep else 0)

    def holds_too_much(self, effect: Step | fx.Move) -> bool:
        """Whether an engine holds more than it may; a healthy one that was measured never does."""
        model, known = effect.model, effect.model in self.measured
        if isinstance(effect, fx.Fetch | fx.Wake | fx.Stop) or effect.at_most_bytes is None:
            return False
        if model not in self.awake_engines and model not in self.idle_engines:
            return False
        too_much = self.size(model) > effect.at_most_bytes
        assert not (too_much and known), f"{model} is taken to hold too much"
        return too_much

    # ------------------------------------------------------------ performing effects

    def apply(self, event: ev.Event) -> None:
        self.now += 1.0
        self.perform(self.host.apply(event, self.now))

    def perform(self, effects: list[fx.Effect]) -> None:
        for effect in effects:
            match effect:
                case fx.Admit() | fx.Halt() | fx.Close():
                    self.on_generation(effect)
                case fx.Hold() | fx.Release():
                    self.on_place(effect)
                case fx.Steer(model, steering):
                    assert model in self.awake_engines, "an engine asleep was steered"
                    self.told[model] = steering
                case fx.Fetch() | fx.Sleep() | fx.Wake() | fx.Check() | fx.Stop():
                    self.on_step(effect)
                case fx.Move():
                    self.on_move(effect)
                case _:
                    self.on_other(effect)
        if any(isinstance(effect, fx.Hold) for effect in effects):
            self.check_holding_was_needed()

    def on_other(self, effect: fx.Effect) -> None:
        match effect:
            case fx.DrainTimer(step):
                self.drain = step
            case fx.HandBackTimer(step, after_s):
                assert 0 < after_s <= STAGGER_S
                self.hand_back = step
            case fx.RetryTimer():
                self.retry = True
            case fx.Answer(ticket):
                self.tickets.remove(ticket)
            case fx.ShutDown():
                assert not self.on_engine
                self.shut_down = True

    def on_generation(self, effect: fx.Admit | fx.Halt | fx.Close) -> None:
        match effect:
            case fx.Admit(key):
                assert key in self.open
                assert self.host.awake is not None
                self.on_engine[key] = self.host.awake
                assert key not in self.told[self.host.awake].held
            case fx.Halt(key):
                assert key in self.on_engine.keys() - self.halting, "halted twice, or not running"
                self.halting.add(key)
            case fx.Close(key, frame):
                assert key in self.open, f"{key} ended twice"
                assert key not in self.on_engine, f"{key} still holds its slot"
                self.open.remove(key)
                self.closed[key] = frame
                self.held.discard(key)

    def on_place(self, effect: fx.Hold | fx.Release) -> None:
        assert effect.key in self.on_engine.keys() - self.halting
        match effect:
            case fx.Hold(key):
                assert key not in self.held, "held twice"
                self.held.add(key)
            case fx.Release(key):
                self.held.remove(key)

    def on_move(self, effect: fx.Move) -> None:
        assert self.move is None, "two background moves at once"
        assert effect.model != self.host.awake
        if effect.tier == "asleep" and effect.model in self.measured:
            idle = sum(self.size(model) for model in self.idle_engines if model != effect.model)
            limits = MODELS[effect.model]
            needed = PROCESS + WEIGHTS[effect.model] + limits.kv_cache_bytes
            assert idle + needed <= self.budget, "loaded beyond the budget"
        self.move = effect

    def on_step(self, effect: Step) -> None:
        assert self.step is None, "two steps at once"
        on_it = [key for key, model in self.on_engine.items() if model == effect.model]
        assert not on_it, "an engine is changed with generations running"
        self.step = effect

    def check_holding_was_needed(self) -> None:
        admission = self.host.admission
        interactive, batch = self.live("interactive"), self.live("batch")
        assert interactive, "held without interactive work"
        taken = min(len(interactive), admission.slots)
        assert taken + len(batch) + 1 > min(admission.interactive_cap, admission.slots)

    def live(self, request_class: RequestClass) -> list[Generation]:
        """Those that compute, and interactive ones also if they wait."""
        admission = self.host.admission
        found = [*admission.running.values()]
        if request_class == "interactive":
            found += admission.waiting.values()
        return [g for g in found if g.request_class == request_class and not g.halting]
