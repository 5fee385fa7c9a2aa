"""Partial generations outlive their gateway: what is kept, for whom, and what a crash may cost."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.gateway.lines import partials as partials_module
from serving.gateway.lines.journal import Ended, Grown, Journal, Record, Suspected, decoded
from serving.gateway.lines.partials import Checkpoint, Partials
from serving.gateway.lines.suspicion import Suspicion
from serving.wire import TokenLogprobs, Tokens

LINE = Checkpoint("batch/1", b"asks for this")
POISON = Suspicion(deaths=3, alone=1, at_tokens=4, last_alone=True, weight=3)


def written(partials: Partials) -> None:
    """What the next sync would write is in the journal."""
    partials._write(*partials._due())


def opened(folder: Path, **options: int) -> Partials:
    partials = Partials(Journal(folder), **options)
    written(partials)
    return partials


def died(partials: Partials) -> None:
    """Its process is gone; what was not synced is lost."""
    assert partials._journal is not None
    partials._journal.close()


def restored(partials: Partials, checkpoint: Checkpoint = LINE) -> list[int] | None:
    tokens = partials.keep(checkpoint).restored
    return None if tokens is None else tokens.token_ids


def test_a_line_goes_on_from_its_synced_tokens_after_a_death(tmp_path: Path) -> None:
    first = opened(tmp_path)
    line = first.keep(LINE)
    line.grew(Tokens([5], cached_tokens=0))
    line.grew(Tokens([6, 7]))
    written(first)
    line.grew(Tokens([8]))
    died(first)

    kept = opened(tmp_path).keep(LINE).restored

    assert kept == Tokens([5, 6, 7], cached_tokens=0)


def test_log_probabilities_are_kept_beside_their_tokens(tmp_path: Path) -> None:
    first = opened(tmp_path)
    portions = [Tokens([5 + i], [TokenLogprobs([5 + i, 1], [-0.1, -2.0], 1)]) for i in range(3)]
    line = first.keep(LINE)
    for portion in portions:
        line.grew(portion)
        written(first)
    died(first)

    kept = opened(tmp_path).keep(LINE).restored

    assert kept is not None
    assert kept.logprobs == [portion.logprobs[0] for portion in portions if portion.logprobs]


def test_a_request_for_something_else_under_the_same_key_starts_over(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.keep(LINE).grew(Tokens([5]))
    written(first)
    died(first)

    second = opened(tmp_path)
    other = Checkpoint(LINE.name, b"asks for that")
    assert restored(second, other) is None
    written(second)
    died(second)

    assert restored(opened(tmp_path)) is None


def test_what_is_done_is_forgotten_and_what_was_left_is_kept(tmp_path: Path) -> None:
    first, left = opened(tmp_path), Checkpoint("batch/2", b"x")
    done, broken_off = first.keep(LINE), first.keep(left)
    done.grew(Tokens([5]))
    broken_off.grew(Tokens([6]))
    written(first)
    done.leave(finished=True)
    broken_off.leave(finished=False)
    assert restored(first, left) == [6], "a client that asks again goes on too"
    written(first)
    died(first)

    second = opened(tmp_path)
    assert restored(second) is None
    assert restored(second, left) == [6]


def test_a_line_that_comes_and_goes_between_two_syncs_is_never_written(tmp_path: Path) -> None:
    partials = opened(tmp_path)
    assert partials._journal is not None
    size = partials._journal.size_bytes
    line = partials.keep(LINE)
    line.grew(Tokens([5]))
    line.leave(finished=True)

    written(partials)

    assert partials._journal.size_bytes == size


def test_the_newest_request_of_a_key_is_the_one_that_is_kept() -> None:
    partials = Partials()
    old = partials.keep(LINE)
    old.grew(Tokens([5]))
    new = partials.keep(LINE)
    assert new.restored == Tokens([5])

    old.grew(Tokens([77]))
    old.leave(finished=True)
    new.grew(Tokens([6]))

    assert restored(partials) == [5, 6]


def test_what_nobody_asks_for_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    partials = Partials()
    partials.keep(LINE).leave(finished=False)
    poisoned = partials.keep(Checkpoint("batch/2", b"x"))
    poisoned.suspect(POISON)
    poisoned.leave(finished=False)
    monkeypatch.setattr(partials_module, "KEPT_S", -1.0)

    written(partials)

    assert len(partials) == 1, "poison is remembered longer"


def test_poison_is_remembered_over_a_death(tmp_path: Path) -> None:
    first = opened(tmp_path)
    line = first.keep(LINE)
    line.suspect(POISON)
    line.leave(finished=False)
    written(first)
    died(first)

    assert opened(tmp_path).keep(LINE).suspicion == POISON


def test_there_is_room_for_so_many_bytes_and_the_unattended_go_first() -> None:
    partials = Partials(most_bytes=3000)
    attended = partials.keep(LINE)
    attended.grew(Tokens([1] * 100))
    for number in range(10):
        line = partials.keep(Checkpoint(str(number), b""))
        line.grew(Tokens([1] * 100))
        line.leave(finished=False)

    written(partials)

    assert len(partials) == 4
    assert restored(partials) == [1] * 100


def test_the_journal_is_written_anew_before_it_is_mostly_waste(tmp_path: Path) -> None:
    partials = opened(tmp_path)
    assert partials._journal is not None
    largest = 0
    for number in range(40):
        line = partials.keep(Checkpoint(str(number), b""))
        line.grew(Tokens(list(range(100_000))))
        written(partials)
        line.leave(finished=True)
        written(partials)
        largest = max(largest, partials._journal.size_bytes)
    assert largest < 3 * 1024 * 1024
    assert partials._journal.size_bytes < 2 * 1024 * 1024


def test_two_gateways_do_not_share_a_journal(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.keep(LINE).grew(Tokens([5]))
    written(first)

    second = Partials.in_folder(tmp_path)
    second.keep(LINE).grew(Tokens([6]))
    written(second)
    died(first)

    assert restored(opened(tmp_path)) == [5]


def test_a_write_that_fails_is_made_good_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partials = opened(tmp_path)
    line = partials.keep(LINE)
    line.grew(Tokens([5]))

    def full(_journal: Journal, _records: list[Record]) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", full)
        written(partials)
    line.grew(Tokens([6]))
    written(partials)
    died(partials)

    assert restored(opened(tmp_path)) == [5, 6]


async def test_a_sync_that_dies_loses_nothing_once_it_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partials = Partials(Journal(tmp_path))
    partials.keep(LINE).grew(Tokens([5]))

    def broken(_journal: Journal, _records: list[Record]) -> None:
        raise ValueError("a fault")

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "rewrite", broken)
        with pytest.raises(ValueError, match="a fault"):
            await partials.run()
    written(partials)
    died(partials)

    assert restored(opened(tmp_path)) == [5]


async def test_what_came_last_is_written_when_the_gateway_ends(tmp_path: Path) -> None:
    partials = Partials(Journal(tmp_path))
    syncing = asyncio.create_task(partials.run())
    await asyncio.sleep(0)
    line = partials.keep(LINE)
    line.grew(Tokens([5]))
    line.leave(finished=False)

    syncing.cancel()
    await asyncio.gather(syncing, return_exceptions=True)
    partials.close()

    assert restored(opened(tmp_path)) == [5]


# ---------------------------------------------------------------- a crash at any byte

names = st.sampled_from(["a", "b", "c"])
records = st.one_of(
    st.builds(
        Grown, names, st.sampled_from([b"1", b"2"]), st.builds(Tokens, st.lists(st.integers(0, 9)))
    ),
    st.builds(Suspected, names, st.just(b"1"), st.builds(Suspicion, st.integers(0, 9))),
    st.builds(Ended, names),
)


@settings(max_examples=60)
@given(st.lists(records, max_size=12), st.data())
def test_a_journal_cut_at_any_byte_has_every_record_before_the_cut(
    tmp_path_factory: pytest.TempPathFactory, made: list[Record], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    journal.rewrite(made)
    journal.close()
    content = (folder / "journal").read_bytes()
    ends = [end for _, end in decoded(content)]
    assert [record for record, _ in decoded(content)] == made

    cut = data.draw(st.integers(0, len(content)))
    (folder / "journal").write_bytes(content[:cut])
    again = Journal(folder)
    left = list(again.read())

    assert left == made[: sum(end <= cut for end in ends)]
    again.rewrite(left)
    again.append([Ended("z")])
    again.close()
    assert list(Journal(folder).read()) == [*left, Ended("z")]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["begin", "token", "sync", "die", "end"]), max_size=40))
def test_a_line_only_ever_loses_what_was_not_synced(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """Whatever happens: what is restored begins what was made, and has all that was synced."""
    folder = tmp_path_factory.mktemp("partials")
    partials = opened(folder)
    line, made, synced = partials.keep(LINE), list[int](), 0
    for step in steps:
        if step == "token":
            made.append(len(made))
            line.grew(Tokens([made[-1]]))
        elif step == "sync":
            written(partials)
            synced = len(made)
        elif step == "end":
            line.leave(finished=True)
            line, made, synced = partials.keep(LINE), [], 0
            written(partials)
        else:
            if step == "die":
                died(partials)
                partials = opened(folder)
            line = partials.keep(LINE)
            kept = [] if line.restored is None else line.restored.token_ids
            least = synced if step == "die" else len(made)
            assert kept == made[: len(kept)]
            assert len(kept) >= least
            made, synced = kept, len(kept) if step == "die" else synced
