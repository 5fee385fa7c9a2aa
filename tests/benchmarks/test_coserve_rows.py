"""The co-serving benchmark's figures, from streams whose times are known."""

from pathlib import Path

import pytest

from benchmarks.coserve.calibrate import fastest, shared_tpot_s
from benchmarks.coserve.ceiling import ProfilePoint
from benchmarks.coserve.fleet import coserve_fleets
from benchmarks.coserve.plots import write_plots
from benchmarks.coserve.recorded import Recorded
from benchmarks.coserve.rows import differing_rows, rows_of
from benchmarks.coserve.samples import (
    ArmSamples,
    CoserveSamples,
    GatewaySamples,
    RowSamples,
    SizeSamples,
    TwoHostSamples,
)
from benchmarks.coserve.segment import Segment
from benchmarks.coserve.workload import (
    SIZES,
    Question,
)
from benchmarks.figures import Row
from benchmarks.setting import BenchmarkUnable
from benchmarks.streams import Stream
from benchmarks.workspace import write_fleet
from serving.config import Fleet, load_fleet

DEFAULT_FLEET = Path(__file__).parents[2] / "config" / "fleet.yaml"
PROFILE = [ProfilePoint(1, 0.10), ProfilePoint(4, 0.10), ProfilePoint(32, 0.32)]


def stream(
    times: list[float], *, asked_at: float = 0.0, text: str = "t", question: str = "q"
) -> Stream:
    counts = list(range(1, len(times) + 1))
    ended_at = times[-1] if times else None
    return Stream("id", Question(question, len(times)), asked_at, times, counts, text, ended_at)


def test_latencies_are_taken_between_chunks_with_tokens() -> None:
    one = stream([1.5, 1.6, 2.0], asked_at=1.0)
    assert one.ttft_s == pytest.approx(0.5)
    assert one.tpot_s == pytest.approx(0.25)
    assert one.gaps_s() == pytest.approx([0.1, 0.4])


def test_tokens_are_counted_where_they_came() -> None:
    several = Stream("id", Question("q", 6), 0.0, [1.0, 2.0, 3.0], [1, 4, 6])
    assert several.tokens_between(0.0, 2.0) == 1
    assert several.tokens_between(1.5, 9.0) == 5
    assert several.tpot_s == pytest.approx(0.4)


def test_a_batch_is_timed_while_all_of_it_ran() -> None:
    late = stream([0.0, 1.0, 1.2, 1.4])
    early = stream([0.5, 0.9, 1.1, 1.3])
    assert shared_tpot_s([late, early]) == pytest.approx(0.2)


def test_of_two_profiles_the_faster_counts_at_each_size() -> None:
    disturbed = [ProfilePoint(1, 0.09), ProfilePoint(4, 0.15), ProfilePoint(32, 0.40)]
    assert [point.tpot_s for point in fastest([PROFILE, disturbed])] == [0.09, 0.10, 0.32]


def arm(step_s: float, *, batch_tokens: int = 0, recorded: Recorded | None = None) -> ArmSamples:
    """Two interactive requests at this pace, first token after two steps; some batch tokens."""
    interactive = [stream([a + step_s * n for n in range(2, 12)], asked_at=a) for a in (0.0, 5.0)]
    batch = [stream([1.0 + n * 1e-3 for n in range(batch_tokens)])] if batch_tokens else []
    segment = Segment(0.0, 0.0, 10.0, interactive, batch)
    return ArmSamples([[segment]], [] if recorded is None else [recorded])


def samples(*, evictions: int = 52) -> CoserveSamples:
    recorded = Recorded(
        output_tokens=1000,
        recomputed_tokens=40,
        evictions=evictions,
        in_place=50,
        elsewhere=13,
        least_evictions=50,
        caps=[8, 9, 9],
    )
    size = SizeSamples(
        alone=arm(0.10),
        stock_alone=arm(0.10),
        stock=arm(0.30, batch_tokens=900),
        ours=arm(0.11, batch_tokens=700, recorded=recorded),
        levels_s=[0.11],
    )
    rows = [stream([1.0, 2.0], question=f"row {n}") for n in range(3)]
    return CoserveSamples(
        sizes={"light": size, "heavy": size},
        batch_alone=arm(0.10, batch_tokens=1000),
        profile=PROFILE,
        slots=32,
        two_hosts=TwoHostSamples(arm(0.1), arm(0.1, batch_tokens=1000), size.ours),
        rows=RowSamples(rows, list(rows), 7),
        gateway=GatewaySamples([0.004, 0.005, 0.030], [99.0, 90.0, 97.0], [100.0] * 3),
    )


def by_figure(found: CoserveSamples) -> dict[str, Row]:
    return {row.figure: row for row in rows_of(found)}


def test_latencies_are_compared_with_interactive_work_alone() -> None:
    rows = by_figure(samples())
    for label in ("TTFT p50", "TTFT p99", "TPOT p50", "TPOT p99"):
        assert rows[f"heavy: {label}, ours / alone"].value == pytest.approx(1.1)
        assert rows[f"heavy: {label}, ours / alone"].met is True
        assert rows[f"heavy: {label}, stock priority / stock alone"].value == pytest.approx(3)
        assert rows[f"heavy: {label}, stock priority / stock alone"].target is None


def test_batch_work_is_compared_with_batch_alone_and_with_the_ceiling() -> None:
    rows = by_figure(samples())
    share = rows["light: batch tokens/s, ours / alone"]
    assert (share.value, share.met) == (pytest.approx(0.7), False)
    assert 0.7 < rows["light: batch tokens/s, ceiling under the TPOT bounds"].value < 1


def test_what_turntable_recorded_is_held_to_its_targets() -> None:
    rows = by_figure(samples())
    assert rows["light: tokens recomputed / generated"].met is True
    beyond = "light: evictions beyond the least possible"
    assert (rows[beyond].value, rows[beyond].met) == (pytest.approx(4), True)
    assert by_figure(samples(evictions=56))[beyond].met is False
    assert rows["two hosts: generations that went on on the other host / evictions"].value == 0.25


def test_one_disturbed_round_does_not_decide_a_ratio_and_is_seen_with_all_rounds_together() -> None:
    def rounds(*arms: ArmSamples) -> ArmSamples:
        return ArmSamples([segments for found in arms for segments in found.rounds])

    found = samples()
    heavy = found.sizes["heavy"]
    heavy.alone = rounds(arm(0.10), arm(0.20), arm(0.10))
    heavy.ours = rounds(arm(0.11), arm(0.22), arm(0.90))
    rows = by_figure(found)
    assert rows["heavy: TPOT p50, ours / alone"].value == pytest.approx(1.1)
    assert rows["heavy: TPOT p99, ours / alone, rounds pooled"].value == pytest.approx(4.5)


def test_the_gateways_cost_is_the_middle_one_of_its_pairs() -> None:
    rows = by_figure(samples())
    added = rows["gateway: added TTFT p50, one request at a time"]
    assert (added.value, added.met) == (pytest.approx(5), True)
    throughput = rows["gateway: throughput of 32 streams, turntable / stock"]
    assert (throughput.value, throughput.met) == (pytest.approx(0.97), True)


def test_a_row_that_is_lost_doubled_or_changed_is_counted() -> None:
    def rows(*found: Stream) -> RowSamples:
        whole = [stream([1.0, 2.0], question=name) for name in "abc"]
        return RowSamples(whole, list(found))

    a, b, c = (stream([1.0, 2.0], question=name) for name in "abc")
    assert differing_rows(rows(a, b, c)) == 0
    assert differing_rows(rows(a, b)) == 1
    assert differing_rows(rows(a, b, c, c)) == 1
    assert differing_rows(rows(a, b, stream([1.0, 2.0], question="c", text="other"))) == 1


def test_nothing_measured_meets_no_target() -> None:
    empty = CoserveSamples(sizes={size.name: SizeSamples() for size in SIZES})
    assert not any(row.met for row in rows_of(empty))


def test_a_plot_is_written(tmp_path: Path) -> None:
    assert write_plots(samples(), tmp_path).read_bytes().startswith(b"\x89PNG")


# --- the fleet ---------------------------------------------------------------------------------


@pytest.fixture
def fleet() -> Fleet:
    return load_fleet(DEFAULT_FLEET)


def test_the_fleet_files_are_valid_and_name_the_same_hosts(fleet: Fleet, tmp_path: Path) -> None:
    made = coserve_fleets(fleet)
    for name, file in (("first", made.first), ("second", made.second)):
        write_fleet(file, tmp_path / name)
        assert load_fleet(tmp_path / name) == file
    assert [(h.name, h.port) for h in made.first.hosts] == [
        (h.name, h.port) for h in made.second.hosts
    ]


def test_each_size_has_a_model_of_its_own_and_so_a_service_level(fleet: Fleet) -> None:
    made = coserve_fleets(fleet)
    assert len({made.sized(size).name for size in SIZES}) == len(SIZES)
    assert made.second.models == [made.sized(SIZES[1])]
    assert made.exact.dtype == "float32"


def test_one_host_is_refused(fleet: Fleet) -> None:
    with pytest.raises(BenchmarkUnable, match="1 hosts"):
        coserve_fleets(fleet.model_copy(update={"hosts": fleet.hosts[:1]}))
