"""When an engine hangs: what it owes is counted in ticks of the host, and nothing else counts."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from serving.engine.decisions.silence import (
    PULSE_EVERY_S,
    TICK_S,
    AskForPulse,
    Command,
    Hung,
    Patience,
    Silence,
)

PATIENCE = Patience(answer_s=8.0, command_s=20.0)
ASKED_AFTER = int(PULSE_EVERY_S / TICK_S)
models = st.sampled_from("ab")
commands = st.sampled_from(["start", "sleep", "wake"])


def after(silence: Silence, ticks: int) -> list[AskForPulse | Hung]:
    """All that is due in so many ticks, with nobody answering."""
    return [due for _ in range(ticks) for due in silence.tick()]


def started() -> Silence:
    silence = Silence(PATIENCE)
    silence.began("a", "start")
    silence.ended("a")
    return silence


def test_an_engine_is_asked_for_a_pulse_every_few_seconds_and_only_once_at_a_time() -> None:
    silence = started()
    assert after(silence, ASKED_AFTER) == [AskForPulse("a")]
    assert after(silence, 7) == []
    silence.answered("a")
    assert after(silence, ASKED_AFTER) == [AskForPulse("a")]


def test_an_engine_that_was_asked_and_does_not_answer_hangs_once() -> None:
    silence = started()
    (*_, hung) = after(silence, ASKED_AFTER + 8)
    assert hung == Hung("a", "answer", 8.0)
    assert after(silence, 100) == []


def test_an_engine_in_a_command_is_not_asked_and_has_longer() -> None:
    silence = started()
    silence.began("a", "wake")
    assert after(silence, 19) == []
    assert after(silence, 1) == [Hung("a", "wake", 20.0)]


def test_an_answer_owed_from_before_a_command_counts_anew_after_it() -> None:
    silence = started()
    after(silence, ASKED_AFTER + 7)
    silence.began("a", "sleep")
    after(silence, 19)
    silence.ended("a")
    assert after(silence, 7) == [], "and it is not asked twice"
    assert after(silence, 1) == [Hung("a", "answer", 8.0)]


def test_a_late_answer_to_what_was_asked_before_a_command_does_not_prolong_the_command() -> None:
    silence = started()
    after(silence, ASKED_AFTER)
    silence.began("a", "sleep")
    after(silence, 19)
    silence.answered("a")
    assert after(silence, 1) == [Hung("a", "sleep", 20.0)]


def test_an_engine_that_is_gone_owes_nothing() -> None:
    silence = started()
    silence.gone("a")
    assert after(silence, 100) == []


def test_a_reason_names_what_the_engine_was_to_do_and_the_setting_that_bounds_it() -> None:
    assert Hung("a", "answer", 60.0).why == (
        "it hung: it answered nothing for 60 s (`hung_after_s` of its host)"
    )
    assert Hung("a", "wake", 1800.0).why == (
        "it hung: it did not wake for 1800 s (`command_limit_s` of its host)"
    )


class Watched(RuleBasedStateMachine):
    """Engines that answer in time, ones that hang, and a host whose clock stops at any moment.

    While the host is stopped there are no ticks, and nothing else happens in it: so a stop is no
    rule of its own, whatever its length.
    """

    def __init__(self) -> None:
        super().__init__()
        self.silence = Silence(PATIENCE)
        self.command: dict[str, Command | None] = {}
        self.owed: dict[str, int] = {}
        """Ticks since it was asked, by model."""
        self.in_command: dict[str, int] = {}
        self.hanging: dict[str, int] = {}
        """Ticks since it began to hang."""

    @rule(model=models, command=commands)
    def a_command_begins(self, model: str, command: Command) -> None:
        if model in self.hanging or self.command.get(model) is not None:
            return
        self.silence.began(model, command)
        self.command[model], self.in_command[model] = command, 0
        self.hanging.pop(model, None)

    @rule(model=models)
    def a_command_ends(self, model: str) -> None:
        if model not in self.hanging and self.command.get(model) is not None:
            self.silence.ended(model)
            self.command[model] = None
            if model in self.owed:
                self.owed[model] = 0

    @rule(model=models)
    def it_answers(self, model: str) -> None:
        if model not in self.hanging and self.owed.pop(model, None) is not None:
            self.silence.answered(model)

    @rule(model=models)
    def it_begins_to_hang(self, model: str) -> None:
        if model in self.command:
            self.hanging.setdefault(model, 0)

    @rule(model=models)
    def it_is_stopped(self, model: str) -> None:
        self.silence.gone(model)
        for counts in (self.command, self.owed, self.in_command, self.hanging):
            counts.pop(model, None)

    @rule(ticks=st.integers(1, 30))
    def time_passes(self, ticks: int) -> None:
        """Those that are well answer and end in time, if only just."""
        for _ in range(ticks):
            self.what_is_due_at_last_is_done()
            for counts in (self.owed, self.in_command, self.hanging):
                for model in counts:
                    counts[model] += 1
            for due in self.silence.tick():
                self.take(due)
            self.who_hangs_is_found_within_its_limit_and_a_pulse()

    def take(self, due: AskForPulse | Hung) -> None:
        match due:
            case AskForPulse(model):
                assert self.command[model] is None, "asked in the middle of a command"
                assert model not in self.owed, "asked twice"
                self.owed[model] = 0
            case Hung(model):
                assert model in self.hanging, "an engine that answers in time was ended"
                self.it_is_stopped(model)

    def what_is_due_at_last_is_done(self) -> None:
        for model, command in list(self.command.items()):
            if command is not None and self.in_command[model] + 1 >= PATIENCE.command_s:
                self.a_command_ends(model)
            elif command is None and self.owed.get(model, 0) + 1 >= PATIENCE.answer_s:
                self.it_answers(model)

    @invariant()
    def who_hangs_is_found_within_its_limit_and_a_pulse(self) -> None:
        for model, ticks in self.hanging.items():
            in_command = self.command[model] is not None
            limit_s = PATIENCE.command_s if in_command else PATIENCE.answer_s + PULSE_EVERY_S
            assert ticks * TICK_S < limit_s + TICK_S


TestWatched = Watched.TestCase
