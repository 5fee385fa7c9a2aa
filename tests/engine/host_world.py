"""What may happen to a host, as Hypothesis rules, and what must hold; tests call the rules too."""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from serving.engine.decisions import effects as fx
from serving.engine.decisions import events as ev
from serving.wire import (
    BatchSizePoint,
    BatchSizeProfile,
    Finished,
    Grant,
    IdleTier,
    RequestClass,
    SwapCommand,
    SwapPolicy,
    SwapReport,
    SwitchCommand,
)
from tests.engine.world import MODELS, World

models = st.sampled_from(sorted(MODELS))


class HostWorld(World):
    """Performs the effects as engines would, in any order that they could."""

    # ------------------------------------------------------------ what may happen

    @initialize(
        model=st.one_of(st.none(), models),
        budget=st.sampled_from([4, 12, 24, 40]),
        device=st.sampled_from([None, 0, 16, 40]),
        second=st.one_of(st.none(), models),
    )
    def boot(
        self,
        model: str | None,
        budget: int = 10,
        device: int | None = 0,
        second: str | None = None,
    ) -> None:
        """Start, often with a hotswap behind it: then two models are known."""
        self.make_host(budget=budget, device=device)
        self.perform(self.host.boot(model, self.now))
        if second is not None:
            self.the_steps_go_well_and_memory_is_measured()
            self.a_hotswap_is_asked_for(second, 1)
            self.the_steps_go_well_and_memory_is_measured()

    @rule(
        model=models,
        request_class=st.sampled_from(["interactive", "batch", "batch"]),
        evictable=st.sampled_from([True, True, False]),
        tokens=st.integers(1, 50),
        evictions=st.sampled_from([0, 0, 1, 9]),
        deadline_s=st.sampled_from([None, None, 5.0, 500.0]),
        account=st.sampled_from(["", "x", "y"]),
    )
    def a_generation_arrives(
        self,
        model: str,
        request_class: RequestClass,
        evictable: bool,
        tokens: int,
        evictions: int = 0,
        deadline_s: float | None = None,
        account: str = "",
    ) -> None:
        self.count += 1
        key = f"g{self.count}"
        self.open.add(key)
        wanted = self.host.awake or model
        self.apply(
            ev.Submitted(
                key,
                wanted,
                request_class,
                evictable,
                tokens,
                account=account,
                remaining_tokens=10,
                deadline_s=deadline_s,
                evictions=evictions,
            )
        )

    @rule(model=models, cap=st.integers(1, 4))
    def a_profile_is_given(self, model: str, cap: int) -> None:
        """The service level is met up to `cap` generations."""
        self.count += 1
        self.tickets.add(self.count)
        level_s = MODELS[model].tpot_s
        points = [BatchSizePoint(n, level_s * n / cap, 0.1, 10.0) for n in (1, 8)]
        profile = BatchSizeProfile(model=model, hardware="test", measured_at=0.0, points=points)
        self.apply(ev.Profiled(self.count, profile))

    @precondition(lambda self: self.on_engine)
    @rule(data=st.data(), finished=st.booleans())
    def a_generation_leaves_the_engine(self, data: st.DataObject, finished: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.on_engine)))
        if not finished and key not in self.halting:
            self.apply(ev.Progressed({key: 1}))
            return
        del self.on_engine[key]
        self.halting.discard(key)
        self.apply(ev.StreamEnded(key, Finished("stop") if finished else None))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def a_client_goes_away(self, data: st.DataObject) -> None:
        self.apply(ev.Cancelled(data.draw(st.sampled_from(sorted(self.open)))))

    @rule(
        model=models,
        plan=st.sampled_from([-1, 0, 1, 1, 1, 2]),
        policy=st.sampled_from(["hand_back", "stagger", "drain"]),
    )
    def a_hotswap_is_asked_for(
        self, model: str, plan: int, policy: SwapPolicy = "hand_back"
    ) -> None:
        self.count += 1
        self.tickets.add(self.count)
        plan_id = self.host.obeyed.plan_id + plan
        command = SwapCommand(model=model, plan_id=plan_id, reason="test", policy=policy)
        self.apply(ev.SwapAsked(self.count, command))

    @rule(model=models, tier=st.sampled_from(["asleep", "parked", "disk"]))
    def a_tier_is_asked_for(self, model: str, tier: IdleTier) -> None:
        self.count += 1
        self.tickets.add(self.count)
        self.apply(ev.TierAsked(self.count, model, tier, self.now))

    @rule(plan=st.integers(-1, 2))
    def a_hotswap_is_cancelled(self, plan: int) -> None:
        self.count += 1
        self.tickets.add(self.count)
        self.apply(ev.CancelAsked(self.count, self.host.obeyed.plan_id + plan))

    def step_waits_for_the_move(self) -> bool:
        """Each engine does one thing at a time, in order."""
        return (
            self.step is not None and self.move is not None and (self.step.model == self.move.model)
        )

    @precondition(lambda self: self.step is not None and not self.step_waits_for_the_move())
    @rule(works=st.sampled_from([True, True, True, False]))
    def the_step_ends(self, works: bool) -> None:
        step, self.step = self.step, None
        assert step is not None
        match step:
            case fx.Stop(_, model):
                self.awake_engines.discard(model)
                self.idle_engines.pop(model, None)
            case fx.Sleep(_, model) if works:
                self.awake_engines.discard(model)
                self.idle_engines[model] = "asleep"
            case fx.Wake(_, model) if works:
                self.awake_engines.add(model)
                self.idle_engines.pop(model, None)
        works = works and not self.holds_too_much(step)
        failed = not works and not isinstance(step, fx.Stop)
        self.apply(ev.StepDone(step.step, "it did not work" if failed else None))

    @precondition(lambda self: self.step is not None)
    @rule()
    def the_steps_go_well_and_memory_is_measured(self) -> None:
        while self.step is not None:
            if self.step_waits_for_the_move():
                self.the_move_ends(works=True)
            self.the_step_ends(works=True)
        self.memory_is_measured()

    @precondition(lambda self: self.move is not None)
    @rule(works=st.booleans())
    def the_move_ends(self, works: bool) -> None:
        move, self.move = self.move, None
        assert move is not None
        if move.model not in self.awake_engines:
            self.idle_engines.pop(move.model, None)
            if works and move.tier != "disk":
                self.idle_engines[move.model] = move.tier
            if works and self.holds_too_much(move):
                works = False
                del self.idle_engines[move.model]
        tier = move.tier if works else "disk"
        self.apply(ev.Moved(move.model, tier, None if works else "no"))

    @rule()
    def memory_is_measured(self) -> None:
        models = self.awake_engines | self.idle_engines.keys()
        changes = self.host.residency.changes
        if self.host.transaction is None and self.host.residency.moving is None:
            self.measured |= {m for m in models if self.idle_engines.get(m) != "parked"}
        self.apply(ev.Measured({model: self.size(model) for model in models}, changes))

    @rule(wanted=st.lists(models, max_size=3))
    def the_plan_wants_standbys(self, wanted: list[str]) -> None:
        self.count += 1
        self.tickets.add(self.count)
        plan_id = self.host.obeyed.plan_id + 1
        self.apply(ev.StandbysAsked(self.count, plan_id, tuple(wanted)))

    @rule(granted=st.lists(models, min_size=1, max_size=3, unique=True), plan=st.integers(-1, 1))
    def a_grant_is_told(self, granted: list[str], plan: int = 1) -> None:
        self.count += 1
        self.tickets.add(self.count)
        plan_id = self.host.obeyed.latest_plan_id + plan
        self.apply(ev.GrantAsked(self.count, Grant(plan_id=plan_id, models=tuple(granted))))

    @rule(model=models, expected=models)
    def a_switch_is_asked_for(self, model: str, expected: str) -> None:
        self.count += 1
        self.tickets.add(self.count)
        command = SwitchCommand(
            model=model, expected_awake=expected, reason="test", asked_by="test"
        )
        before = self.host.transaction
        self.apply(ev.SwitchAsked(self.count, command))
        begun = self.host.transaction
        if begun is not None and begun is not before and begun.command is command:
            assert {begun.to_model} <= set(self.host.obeyed.granted), "switched out of the grant"
            assert begun.from_model == expected

    @rule(present=st.frozensets(models))
    def weights_come_and_go(self, present: frozenset[str]) -> None:
        self.apply(ev.WeightsSeen(present))

    @rule()
    def prewarming_is_allowed(self) -> None:
        self.apply(ev.PrewarmAllowed())

    @precondition(lambda self: self.drain is not None)
    @rule()
    def the_drain_is_over(self) -> None:
        step, self.drain = self.drain, None
        assert step is not None
        self.apply(ev.DrainExpired(step))

    @precondition(lambda self: self.hand_back is not None)
    @rule()
    def the_next_may_leave(self) -> None:
        step, self.hand_back = self.hand_back, None
        assert step is not None
        self.apply(ev.HandBackDue(step))

    @precondition(lambda self: self.retry)
    @rule()
    def a_retry_is_due(self) -> None:
        self.retry = False
        self.apply(ev.RetryDue())

    @precondition(lambda self: self.host.awake is not None)
    @rule()
    def the_awake_engine_dies(self) -> None:
        model = self.host.awake
        assert model is not None
        self.awake_engines.discard(model)
        for key, on in list(self.on_engine.items()):
            self.on_engine[key] = "dead" if on == model else on
        self.apply(ev.EngineLost(model, "killed"))

    @precondition(lambda self: isinstance(self.step, fx.Check))
    @rule()
    def the_engine_under_check_dies(self) -> None:
        assert self.step is not None
        self.awake_engines.discard(self.step.model)
        self.apply(ev.EngineLost(self.step.model, "killed"))

    # ------------------------------------------------------------ what must hold

    @invariant()
    def two_engines_are_awake_only_within_the_budget(self) -> None:
        assert len(self.awake_engines) <= 2
        if len(self.awake_engines) == 2:
            awake = sum(self.size(model) for model in self.awake_engines)
            idle = sum(self.size(model) for model in self.idle_engines)
            if self.device is None:
                assert awake + idle <= self.budget
            else:
                assert awake <= self.device

    @invariant()
    def a_stable_host_has_one_engine_awake(self) -> None:
        if self.host.transaction is None:
            assert len(self.awake_engines) <= 1
            tiers = self.host.residency.tiers
            assert sum(tier == "awake" for tier in tiers.values()) <= 1

    @invariant()
    def who_is_not_serving_says_why(self) -> None:
        host = self.host
        assert host.phase != "failed" or host.failure
        if host.phase == "failed":
            assert self.retry or host.transaction is not None, "nothing will bring it back"

    @invariant()
    def the_awake_model_has_an_awake_engine(self) -> None:
        if self.host.awake is not None:
            assert self.host.awake in self.awake_engines
            assert self.host.residency.tiers[self.host.awake] == "awake"

    @invariant()
    def running_never_exceeds_the_slots(self) -> None:
        for model, limits in MODELS.items():
            # What leaves a replaced model's engine is no longer admission's.
            mine = [k for k, on in self.on_engine.items() if on == model and not self.leaves(k)]
            held = self.told[model].held if mine else frozenset()
            assert len([key for key in mine if key not in held]) <= limits.slots
            assert len(mine) <= 2 * limits.slots

    @invariant()
    def beside_interactive_work_the_cap_holds_but_for_the_protected_share(self) -> None:
        interactive, batch = self.live("interactive"), self.live("batch")
        cap = self.host.admission.interactive_cap
        if self.host.phase == "serving" and interactive:
            assert len(batch) <= max(cap - len(interactive), cap // 4, 1)

    @invariant()
    def nothing_stays_held_without_interactive_work_unless_the_slots_are_full(self) -> None:
        admission = self.host.admission
        held = [g for g in admission.held.values() if not g.halting]
        if self.host.phase == "serving" and held and not self.live("interactive"):
            assert len(admission.running) == admission.slots

    @invariant()
    def the_engine_holds_what_the_host_says_is_held(self) -> None:
        held = self.host.admission.held
        assert {key for key in self.held if not self.leaves(key)} == held.keys()
        if self.host.awake in self.told:
            told = self.told[self.host.awake].held
            assert {key for key in told if key in self.on_engine} == held.keys()

    def leaves(self, key: str) -> bool:
        """Whether the generation is on its way off a model that was replaced."""
        return key in self.host.generations.leaving

    @invariant()
    def no_generation_is_lost(self) -> None:
        admission, leaving = self.host.admission, self.host.generations.leaving
        parts = (admission.running, admission.held, admission.waiting, leaving)
        assert {key for part in parts for key in part} == self.open
        assert sum(map(len, parts)) == len(self.open), "in two places at once"

    @invariant()
    def a_slot_is_never_left_free_while_a_request_that_may_have_it_waits(self) -> None:
        admission = self.host.admission
        if self.host.phase == "serving" and admission.waiting and not admission.running:
            raise AssertionError("requests wait on an idle engine")

    def teardown(self) -> None:
        """Whatever happened before: a shutdown ends every generation and answers every command."""
        self.apply(ev.ShutdownAsked())
        for key in sorted(self.on_engine):
            del self.on_engine[key]
            self.apply(ev.StreamEnded(key, None))
        assert self.shut_down
        assert not self.open
        assert not self.tickets


def started(first: str = "a", *, budget: int = 10, device: int | None = 0) -> HostWorld:
    world = HostWorld()
    world.boot(first, budget, device)
    world.the_step_ends(works=True)
    world.the_step_ends(works=True)
    assert world.host.phase == "serving"
    return world


def ask(world: HostWorld, model: str) -> list[fx.Effect]:
    answers: list[fx.Effect] = []
    perform: Callable[[list[fx.Effect]], None] = world.perform

    def note(effects: list[fx.Effect]) -> None:
        answers.extend(effects)
        perform(effects)

    world.perform = note  # type: ignore[method-assign]
    world.a_hotswap_is_asked_for(model, 1)
    return answers


def report_of(effects: list[fx.Effect]) -> SwapReport:
    answers = [effect.report for effect in effects if isinstance(effect, fx.Answer)]
    (report,) = [answer for answer in answers if isinstance(answer, SwapReport)]
    return report


def outcome(effects: list[fx.Effect]) -> str:
    return report_of(effects).outcome
