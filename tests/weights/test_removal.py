from hypothesis import given
from hypothesis import strategies as st

from serving.weights.removal import Kept, choose_removals, stored_bytes

_SIZES = {"a": 1, "b": 2, "c": 5, "d": 10, "e": 40}
_blobs = st.sets(st.sampled_from(sorted(_SIZES))).map(lambda names: {n: _SIZES[n] for n in names})


@st.composite
def _stores(draw: st.DrawFn) -> list[Kept]:
    contents = draw(st.lists(_blobs, max_size=6))
    return [
        Kept(f"k{n}", blobs, draw(st.integers(0, 3)), draw(st.booleans()))
        for n, blobs in enumerate(contents)
    ]


def _kept(key: str, blobs: dict[str, int], last_used_s: float, *, held: bool = False) -> Kept:
    return Kept(key, blobs, last_used_s, held)


def test_the_least_recently_used_goes_first_and_no_more_than_needed() -> None:
    kept = [_kept("new", {"a": 4}, 3.0), _kept("old", {"b": 4}, 1.0), _kept("mid", {"c": 4}, 2.0)]
    assert choose_removals(kept, {"d": 4}, budget_bytes=12) == ["old"]
    assert choose_removals(kept, {"d": 4}, budget_bytes=16) == []


def test_what_a_process_holds_stays_however_old_it_is() -> None:
    kept = [_kept("old", {"a": 4}, 1.0, held=True), _kept("new", {"b": 4}, 2.0)]
    assert choose_removals(kept, {"c": 4}, budget_bytes=8) == ["new"]


def test_a_blob_of_several_checkpoints_counts_once() -> None:
    kept = [_kept("one", {"shared": 9, "a": 1}, 1.0), _kept("two", {"shared": 9, "b": 1}, 2.0)]
    assert choose_removals(kept, {"shared": 9, "c": 1}, budget_bytes=12) == []


def test_nothing_is_removed_for_what_cannot_fit() -> None:
    kept = [_kept("held", {"a": 4}, 1.0, held=True), _kept("free", {"b": 4}, 2.0)]
    assert choose_removals(kept, {"c": 5}, budget_bytes=8) is None


@given(_stores(), _blobs, st.integers(1, 60))
def test_the_choice_is_the_shortest_run_of_the_oldest_unheld_that_makes_room(
    kept: list[Kept], incoming: dict[str, int], budget_bytes: int
) -> None:
    def fits_without(keys: list[str]) -> bool:
        staying = [entry.blobs for entry in kept if entry.key not in keys]
        return stored_bytes([incoming, *staying]) <= budget_bytes

    unheld = sorted(
        (entry for entry in kept if not entry.held), key=lambda e: (e.last_used_s, e.key)
    )
    oldest_first = [entry.key for entry in unheld]
    removals = choose_removals(kept, incoming, budget_bytes)
    if removals is None:
        assert not fits_without(oldest_first)
    else:
        assert removals == oldest_first[: len(removals)]
        assert fits_without(removals)
        assert not removals or not fits_without(removals[:-1])
