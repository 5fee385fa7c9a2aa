"""Where overrides are kept, and which are refused."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestration.allocation.operators.override_checks import LONGEST_S, check
from orchestration.allocation.operators.override_record import OverrideRecord
from orchestration.allocation.operators.overrides import Override
from orchestration.errors import OverrideRefused, OverridesUnreadable
from serving.config import StateFolder
from tests.orchestration.building import a_fleet, a_model
from tests.orchestration.test_overrides import freeze, held, pin
from tests.orchestration.test_planner import NOW


@pytest.fixture
def record(tmp_path: Path) -> OverrideRecord:
    return OverrideRecord.of(StateFolder(tmp_path))


def test_overrides_are_there_for_who_comes_later(record: OverrideRecord, tmp_path: Path) -> None:
    for override in (pin("h", "a", "b"), freeze(), held("a", 2)):
        record.add(override, now=NOW)

    again = OverrideRecord.of(StateFolder(tmp_path)).in_force(NOW)

    assert set(again) == {pin("h", "a", "b"), freeze(), held("a", 2)}


def test_one_is_released_by_its_name_or_all_are(record: OverrideRecord) -> None:
    for override in (pin("h", "a"), freeze(), held("a", 2)):
        record.add(override, now=NOW)

    assert record.release("a", now=NOW) == (held("a", 2),)
    assert record.release("a", now=NOW) == ()
    assert len(record.release(None, now=NOW)) == 2
    assert record.read() == ()


def test_what_has_ended_is_dropped_with_the_next_change(record: OverrideRecord) -> None:
    record.add(pin("h", "a", until=NOW + 1), now=NOW)
    record.add(freeze(NOW + 60), now=NOW + 2)

    assert record.read() == (freeze(NOW + 60),)


def test_two_operators_at_once_lose_nothing(record: OverrideRecord) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: record.add(pin(f"h-{n}", "a"), now=NOW), range(24)))

    assert {override.name for override in record.read()} == {f"h-{n}" for n in range(24)}


def test_a_damaged_file_is_named_and_never_taken_for_no_overrides(record: OverrideRecord) -> None:
    record.path.write_text('[{"kind": "of another version"}]')

    with pytest.raises(OverridesUnreadable, match=r"overrides\.json"):
        record.read()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (pin("host-9", "a"), "Known: host-0, host-1"),
        (pin("host-0", "z"), "Known: a, b"),
        (pin("host-0"), "names no model"),
        (pin("host-0", "a", "b"), "allocation.time_sharing"),
        (held("z", 1), "Known: a, b"),
        (held("b", 2), "Ask for 0 to 1"),
        (freeze(until=NOW - 1), "ended already"),
        (freeze(until=NOW + LONGEST_S + 1), "fleet file"),
    ],
)
def test_what_the_fleet_cannot_follow_is_refused_with_the_fix(
    override: Override, said: str
) -> None:
    fleet = a_fleet([a_model("a", least=1), a_model("b")], hosts=2)

    with pytest.raises(OverrideRefused, match=said):
        check(fleet, override, now=NOW)
