"""The co-serving benchmark's pure parts, and its clients against a server whose stream is known."""

import asyncio
import itertools
import json
import math
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.chat import Load as ChatLoad
from benchmarks.coserve.calibrate import shared_tpot_s
from benchmarks.coserve.ceiling import (
    ProfilePoint,
    batch_share_ceiling,
    presence_of,
    tpot_at,
)
from benchmarks.coserve.fleet import coserve_fleets
from benchmarks.coserve.oracle import CapSample, Presence, excess_percent, least_evictions
from benchmarks.coserve.plots import write_plots
from benchmarks.coserve.prompts import prompts_of
from benchmarks.coserve.recorded import Recorded
from benchmarks.coserve.rows import differing_rows, harmed, rows_of
from benchmarks.coserve.samples import (
    ArmSamples,
    CoserveSamples,
    GatewaySamples,
    RowSamples,
    SizeSamples,
    TwoHostSamples,
)
from benchmarks.coserve.segment import Load, Segment, run_segment
from benchmarks.coserve.streams import Endpoint, Stream
from benchmarks.coserve.workload import (
    PERIOD_S,
    SIZES,
    Question,
    answer_tokens,
    batch_work,
    bursts,
)
from benchmarks.figures import Row
from benchmarks.servers import free_ports
from benchmarks.setting import BenchmarkUnable
from benchmarks.workspace import write_fleet
from serving.config import Fleet, load_fleet

DEFAULT_FLEET = Path(__file__).parents[2] / "config" / "fleet.yaml"
LIGHT, HEAVY = SIZES
TEXTS = ["one", "two", "three"]


# --- the workload ------------------------------------------------------------------------------


def test_every_arm_gets_the_same_arrivals_and_another_seed_gives_others() -> None:
    made = [bursts(HEAVY, TEXTS, seed, number=3, mean_tokens=100) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_bursts_come_period_by_period_with_all_their_requests() -> None:
    arrivals = bursts(HEAVY, TEXTS, 1, number=3, mean_tokens=100)
    by_burst = [int(arrival.at_s // PERIOD_S) for arrival in arrivals]
    assert by_burst == [0] * 6 + [1] * 6 + [2] * 6
    assert all(75 <= arrival.question.max_tokens <= 125 for arrival in arrivals)


def test_answers_are_as_long_as_a_burst_shall_be_there() -> None:
    assert answer_tokens(0.020) == 100
    assert answer_tokens(1e-6) == 1024


def test_batch_work_has_no_end_and_follows_from_its_seed() -> None:
    one, other = batch_work(TEXTS, 5), batch_work(TEXTS, 5)
    assert list(itertools.islice(one, 500)) == list(itertools.islice(other, 500))


# --- prompts -----------------------------------------------------------------------------------


def test_made_prompts_differ_and_follow_from_the_seed() -> None:
    texts = prompts_of(None, 1)
    assert len(set(texts)) == len(texts)
    assert texts == prompts_of(None, 1)
    assert texts != prompts_of(None, 2)


def test_real_prompts_are_read_in_the_forms_of_known_sets(tmp_path: Path) -> None:
    lines = [{"turns": ["a", "then b"]}, {"question": "c"}, {"prompt": "d"}, {"prompt": "x" * 9999}]
    file = tmp_path / "set.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert sorted(prompts_of(file, 1)) == ["a", "c", "d"]


@pytest.mark.parametrize("content", ["no json", '{"answer": "yes"}'])
def test_a_file_without_prompts_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(content)
    with pytest.raises(BenchmarkUnable, match=r"be read|no prompt"):
        prompts_of(file, 1)


# --- the least evictions -----------------------------------------------------------------------


def test_a_burst_costs_as_many_evictions_as_slots_it_takes_from_batch_work() -> None:
    caps = [CapSample(0, 8)]
    assert least_evictions([Presence(10, 12)], caps, slots=32) == 25  # 7 of 32 stay
    together = [Presence(10, 12), Presence(10, 12)]
    assert least_evictions(together, caps, slots=32) == 26  # 6 stay


def test_a_slot_given_back_and_taken_again_costs_an_eviction_each_time() -> None:
    caps = [CapSample(0, 8)]
    overlapping = [Presence(0, 10), Presence(1, 2), Presence(3, 4)]
    assert least_evictions(overlapping, caps, slots=32) == 25 + 2
    assert least_evictions([Presence(0, 1), Presence(2, 3)], caps, slots=32) == 50


def test_who_leaves_at_the_moment_another_comes_gives_it_its_slot() -> None:
    seamless = [Presence(0, 10), Presence(1, 2), Presence(2, 3)]
    assert least_evictions(seamless, [CapSample(0, 8)], slots=32) == 26


def test_a_falling_cap_costs_evictions_only_while_interactive_work_is_there() -> None:
    falling = [CapSample(0, 8), CapSample(5, 5)]
    assert least_evictions([Presence(1, 9)], falling, slots=32) == 25 + 3
    assert least_evictions([Presence(6, 9)], falling, slots=32) == 28
    assert least_evictions([Presence(1, 2)], falling, slots=32) == 25


def test_interactive_work_beyond_the_cap_takes_no_more_than_there_is() -> None:
    crowd = [Presence(0, 9)] * 40
    assert least_evictions(crowd, [CapSample(0, 4)], slots=32) == 32


PRESENCES = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 10)).map(
        lambda pair: Presence(pair[0], pair[0] + pair[1])
    ),
    max_size=8,
)


@given(PRESENCES, st.integers(1, 12))
def test_no_scheduler_that_fills_every_slot_evicts_less(
    presences: list[Presence], cap: int
) -> None:
    """Walk the moments with batch generations that have names, evicting only whom one must."""
    slots, evicted = 12, 0
    running = slots
    for at in sorted({p.began_at for p in presences} | {p.ended_at for p in presences}):
        present = sum(p.began_at <= at < p.ended_at for p in presences)
        left = slots if present == 0 else max(0, cap - present)
        evicted += max(0, running - left)
        running = left
    assert least_evictions(presences, [CapSample(0, cap)], slots) == evicted


def test_an_excess_is_over_the_least_and_none_without_one() -> None:
    assert excess_percent(55, 50) == pytest.approx(10)
    assert math.isnan(excess_percent(3, 0))


# --- the ceiling -------------------------------------------------------------------------------

PROFILE = [ProfilePoint(1, 0.020), ProfilePoint(4, 0.020), ProfilePoint(32, 0.048)]


def test_tpot_between_measured_sizes_is_interpolated() -> None:
    assert [tpot_at(PROFILE, size) for size in (0, 2, 18, 40)] == pytest.approx(
        [0.020, 0.020, 0.034, 0.048]
    )


def test_the_ceiling_is_what_the_bounds_leave_beside_interactive_work() -> None:
    # 1.15 allows a batch of 7 (23 ms), 1.25 one of 9 (25 ms); alone batch makes 667 tokens/s.
    bounds = [(5, 1.15), (7, 1.25)]
    alone = 32 / 0.048
    losses = [longer * (1 - batch / (longer * 0.020) / alone) for batch, longer in bounds]
    expected = 1 - 0.5 * sum(losses) / 2
    assert batch_share_ceiling(PROFILE, {2: 0.5}, 32) == pytest.approx(expected)


def test_without_interactive_work_batch_has_everything() -> None:
    assert batch_share_ceiling(PROFILE, {0: 1.0}, 32) == 1
    flat = [ProfilePoint(1, 0.02), ProfilePoint(32, 0.02)]
    assert batch_share_ceiling(flat, {2: 1.0}, 32) == pytest.approx(30 / 32)


@given(st.floats(0, 1), st.integers(1, 8))
def test_the_ceiling_is_a_share(time_present: float, interactive: int) -> None:
    assert 0 <= batch_share_ceiling(PROFILE, {interactive: time_present}, 32) <= 1


def test_presence_counts_how_many_are_there_at_once() -> None:
    assert presence_of([(0, 4), (2, 6)], 10) == pytest.approx({1: 0.4, 2: 0.2})


# --- streams -----------------------------------------------------------------------------------


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


# --- the clients -------------------------------------------------------------------------------

SEEN: list[dict] = []


async def _complete(request: Request) -> Response:
    body = await request.json()
    SEEN.append(body | {"id": request.headers["x-request-id"]})
    if body["model"] == "refusing":
        return JSONResponse({"error": "no"}, status_code=503)

    async def events() -> AsyncIterator[str]:
        last = body["max_tokens"] - (body["model"] == "short")
        for tokens in range(last + 1):
            await asyncio.sleep(0.002)
            content = {"choices": [{"delta": {"content": "x" * (tokens > 0)}}]}
            yield f"data: {json.dumps(content | {'usage': {'completion_tokens': tokens}})}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    (port,) = free_ports(1)
    app = Starlette(routes=[Route("/v1/chat/completions", _complete, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_interactive_requests_come_over_batch_work_that_never_ends(url: str) -> None:
    SEEN.clear()
    arrivals = bursts(LIGHT, TEXTS, 1, number=1, mean_tokens=8)
    load = Load("s", arrivals, batch_work(TEXTS, 1), batch_streams=4, slots=3, window_s=2.0)
    segment = run_segment(Endpoint(url, "m", {"service_tier": "flex"}), load)
    assert [s.tokens for s in segment.interactive] == [a.question.max_tokens for a in arrivals]
    assert segment.batch_tokens_per_s() > 0
    assert len(segment.batch) >= 4
    batch = [body for body in SEEN if body.get("service_tier") == "flex"]
    assert len(batch) >= 4
    assert {body["cache_salt"] for body in SEEN} == {"s"}
    assert [body["id"] for body in SEEN if "service_tier" not in body] == ["s-i0", "s-i1"]


def test_interactive_work_can_be_alone(url: str) -> None:
    arrivals = bursts(LIGHT, TEXTS, 1, number=1, mean_tokens=8)
    segment = run_segment(Endpoint(url, "m", {}), Load("s", arrivals, window_s=0.1))
    assert [s.ended_at is not None for s in segment.interactive] == [True, True]
    assert segment.batch == []


def test_given_rows_are_all_carried_out(url: str) -> None:
    rows = [Question(f"row {n}", 5) for n in range(7)]
    load = Load("s", batch=iter(rows), batch_streams=3, slots=3, to_the_end=True)
    segment = run_segment(Endpoint(url, "m", {}), load)
    assert sorted(s.question.text for s in segment.batch) == [row.text for row in rows]
    assert harmed(segment.batch) == 0


def test_an_answer_that_ends_short_is_a_lost_row(url: str) -> None:
    load = Load("s", batch=iter([Question("row", 5)]), batch_streams=1, to_the_end=True)
    segment = run_segment(Endpoint(url, "short", {}), load)
    assert harmed(segment.batch) == 1


def test_interactive_work_that_is_not_served_ends_the_benchmark(url: str) -> None:
    load = Load("s", bursts(LIGHT, TEXTS, 1, number=1, mean_tokens=8), window_s=0.1)
    with pytest.raises(BenchmarkUnable, match="503"):
        run_segment(Endpoint(url, "refusing", {}), load)


# --- rows --------------------------------------------------------------------------------------


def arm(step_s: float, *, batch_tokens: int = 0, recorded: Recorded | None = None) -> ArmSamples:
    """Two interactive requests at this pace, first token after two steps; some batch tokens."""
    interactive = [stream([a + step_s * n for n in range(2, 12)], asked_at=a) for a in (0.0, 5.0)]
    batch = [stream([1.0 + n * 1e-3 for n in range(batch_tokens)])] if batch_tokens else []
    segment = Segment(0.0, 0.0, 10.0, interactive, batch)
    return ArmSamples([segment], [] if recorded is None else [recorded])


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
        level_s=0.11,
    )
    rows = [stream([1.0, 2.0], question=f"row {n}") for n in range(3)]
    return CoserveSamples(
        sizes={"light": size, "heavy": size},
        batch_alone=arm(0.10, batch_tokens=1000),
        profile=PROFILE,
        slots=32,
        two_hosts=TwoHostSamples(arm(0.1), arm(0.1, batch_tokens=1000), size.ours),
        rows=RowSamples(rows, list(rows), 7),
        gateway=GatewaySamples([0.104, 0.106], [ChatLoad([], 1.0)]),
        stock_server=GatewaySamples([0.100, 0.100], [ChatLoad([], 1.0)]),
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


def test_the_gateways_cost_is_a_difference_in_time_and_a_ratio_of_rates() -> None:
    row = by_figure(samples())["gateway: added TTFT p50, one request at a time"]
    assert (row.value, row.met) == (pytest.approx(5), True)


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
    made = coserve_fleets(fleet).with_levels({"light": 0.02, "heavy": 0.03})
    for name, file in (("first", made.first), ("second", made.second)):
        write_fleet(file, tmp_path / name)
        assert load_fleet(tmp_path / name) == file
    assert [(h.name, h.port) for h in made.first.hosts] == [
        (h.name, h.port) for h in made.second.hosts
    ]


def test_each_size_has_a_service_level_of_its_own(fleet: Fleet) -> None:
    made = coserve_fleets(fleet).with_levels({"light": 0.02, "heavy": 0.03})
    assert [made.sized(size).service_levels.tpot_s for size in SIZES] == [0.02, 0.03]
    assert made.second.models == [made.sized(HEAVY)]
    assert made.exact.dtype == "float32"


def test_one_host_is_refused(fleet: Fleet) -> None:
    with pytest.raises(BenchmarkUnable, match="1 hosts"):
        coserve_fleets(fleet.model_copy(update={"hosts": fleet.hosts[:1]}))
