"""When the sensor asks again."""

from itertools import pairwise

import msgspec

from orchestration.allocation.plan import Move, Plan
from orchestration.asking import Ask, Cursor, Situation, Stay, decide, should_record, should_tell

MOVE = Move(host="h", from_model="a", to_model="b", reason="b waits")


def situation(*moves: Move, drift: tuple[str, ...] = ()) -> Situation:
    plan = Plan(
        plan_id=4,
        made_at=0,
        trigger="",
        moves=moves,
        grants={},
        replicas={},
        verdicts={},
        demand={},
    )
    return Situation(plan=plan, drift=drift)


def ask(cursor: Cursor, now: float) -> Ask | Stay:
    return decide(cursor, situation(MOVE), active_run=None, now=now)


def test_what_a_run_did_not_change_is_asked_for_again_ever_more_rarely() -> None:
    cursor, asked_at = Cursor(), []
    for now in range(1000, 1400):
        outcome = ask(cursor, now)
        if isinstance(outcome, Ask):
            cursor = outcome.cursor
            asked_at.append(now)

    pauses = [later - earlier for earlier, later in pairwise(asked_at)]
    assert pauses == [5, 10, 20, 40, 80, 160]


def test_every_ask_has_a_run_key_of_its_own_and_the_same_tick_the_same_one() -> None:
    first, again = ask(Cursor(), 1000), ask(Cursor(), 1000)
    assert isinstance(first, Ask)
    assert isinstance(again, Ask)
    second = ask(first.cursor, 1100)
    assert isinstance(second, Ask)

    assert first.run_key == again.run_key
    assert first.run_key != second.run_key


def test_another_situation_is_asked_for_without_a_pause() -> None:
    first = ask(Cursor(), 1000)
    assert isinstance(first, Ask)

    other = decide(
        first.cursor, situation(drift=("h is back with a",)), active_run=None, now=1000.1
    )

    assert isinstance(other, Ask)
    assert other.cursor.times == 1


def test_a_trigger_says_once_what_an_override_and_its_move_say() -> None:
    came = situation(MOVE, drift=("override: b waits", "h is back with a"))

    assert came.trigger == "override: b waits; h is back with a"


def test_evaluations_are_recorded_when_words_change_and_now_and_then() -> None:
    few = msgspec.structs.replace(situation().plan, verdicts={"a": "stays for 2 waiting"})
    more = msgspec.structs.replace(few, verdicts={"a": "stays for 35.5 waiting"})
    other = msgspec.structs.replace(few, verdicts={"a": "goes"})
    digests = [Situation(plan=plan, drift=()).digest for plan in (few, more, other)]
    cursor = Cursor(recorded=digests[0], recorded_at=1000.0)

    assert digests[0] == digests[1]
    assert not should_record(cursor, digests[0], 1010.0)
    assert should_record(cursor, digests[0], 1061.0)
    assert not should_record(cursor, digests[2], 1004.0)
    assert should_record(cursor, digests[2], 1006.0)


def test_a_cursor_survives_its_text_and_a_foreign_one_is_started_anew() -> None:
    cursor = Cursor(asked_for="x", asked_at=1.5, times=2, told="y", weights=("w",))

    assert Cursor.parse(cursor.text()) == cursor
    assert Cursor.parse("not ours") == Cursor()
    assert Cursor.parse(None) == Cursor()


def test_observations_come_on_change_and_now_and_then() -> None:
    cursor = msgspec.structs.replace(Cursor(), told="same", told_at=1000.0)

    assert should_tell(cursor, "other", 1000.1)
    assert not should_tell(cursor, "same", 1010.0)
    assert should_tell(cursor, "same", 1031.0)
