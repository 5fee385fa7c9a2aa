"""The batch benchmark's pure parts: its files, its comparison of rows, its kills, its figures."""

import math
import threading
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.batch.comparison import (
    Answered,
    Differences,
    by_id,
    changes,
    compare,
    read_rows,
)
from benchmarks.batch.fleet import exact_fleet, speed_fleet
from benchmarks.batch.kill_plan import VICTIMS, kill_plan
from benchmarks.batch.lines import chat_lines, document_lines, short_lines, write_lines
from benchmarks.batch.memory import Peaks, watched
from benchmarks.batch.offline import OfflineRun
from benchmarks.batch.plots import write_plots
from benchmarks.batch.rows import rows_of
from benchmarks.batch.samples import BatchRun, BatchSamples, Kill, ScaleRun, SurvivalSamples
from benchmarks.figures import Row
from benchmarks.workspace import write_fleet
from serving.config import load_fleet

DEFAULT_FLEET = Path(__file__).parents[2] / "config" / "fleet.yaml"
GIB = 1024**3


def answered(custom_id: str, text: str = "yes") -> Answered:
    return Answered(custom_id, text, "length", 10, 5, None)


def result_line(custom_id: str, **fields: object) -> bytes:
    return msgspec.json.encode({"id": "batch_req_1", "custom_id": custom_id, **fields})


def test_an_answer_is_read_without_what_differs_every_time() -> None:
    body = {
        "id": "chatcmpl-1",
        "choices": [{"finish_reason": "length", "message": {"role": "assistant", "content": "hi"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10},
    }
    line = result_line("a", response={"status_code": 200, "body": body}, error=None)
    assert read_rows([line, b"\n"]) == [Answered("a", "hi", "length", 3, 7, None)]


def test_a_completion_is_read_like_a_chat_answer() -> None:
    body = {"choices": [{"text": "hi", "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}
    (row,) = read_rows([result_line("a", response={"body": body})])
    assert (row.text, row.output_tokens, row.failed) == ("hi", 1, None)


@pytest.mark.parametrize(
    "fields",
    [
        {"response": None, "error": {"code": "batch_expired", "message": "late"}},
        {"response": {"status_code": 500, "body": {"error": {"message": "broken"}}}},
        {"response": None},
    ],
)
def test_a_row_without_an_answer_has_failed(fields: dict[str, object]) -> None:
    (row,) = read_rows([result_line("a", **fields)])
    assert row.failed


ROWS = st.lists(st.integers(0, 30), unique=True).map(
    lambda numbers: [answered(f"row-{number}") for number in numbers]
)


@given(rows=ROWS, choice=st.randoms())
def test_the_same_rows_in_any_order_differ_in_nothing(rows: list[Answered], choice: object) -> None:
    shuffled = sorted(rows, key=lambda _row: choice.random())  # type: ignore[attr-defined]
    assert compare(by_id(rows), shuffled) == Differences(0, 0, 0)


@given(rows=ROWS, data=st.data())
def test_what_is_missing_is_lost_and_what_comes_again_is_doubled(
    rows: list[Answered], data: st.DataObject
) -> None:
    copies = [data.draw(st.integers(0, 3)) for _ in rows]
    found = [row for row, number in zip(rows, copies, strict=True) for _ in range(number)]
    lost = copies.count(0)
    doubled = sum(max(0, number - 1) for number in copies)
    assert compare(by_id(rows), found) == Differences(lost, doubled, 0)


def test_a_row_with_another_answer_is_changed_in_each_of_its_copies() -> None:
    rows = [answered("a"), answered("a", "no"), answered("b", "no")]
    assert compare(by_id([answered("a"), answered("b")]), rows) == Differences(0, 1, 2)


def test_a_row_that_nobody_asked_for_counts_as_doubled() -> None:
    rows = [answered("a"), answered("x")]
    assert compare(by_id([answered("a")]), rows) == Differences(0, 1, 0)


def test_files_follow_from_their_numbers_and_share_no_prefix(tmp_path: Path) -> None:
    one = list(chat_lines("m", ["Why?", "How?"], 40, (8, 16)))
    again = list(chat_lines("m", ["Why?", "How?"], 40, (8, 16)))
    other = list(chat_lines("m", ["Why?", "How?"], 40, (8, 16), first=40))
    assert one == again
    assert [line.body["max_tokens"] for line in one] == [line.body["max_tokens"] for line in other]
    firsts = {
        line.body["messages"][0]["content"].split()[0]  # type: ignore[index]
        for line in one + other
    }
    assert len(firsts) == 80
    path = write_lines(iter(one), tmp_path / "lines.jsonl")
    written = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    assert [line["custom_id"] for line in written] == [f"row-{n}" for n in range(40)]
    assert {line["method"] for line in written} == {"POST"}


def test_documents_are_asked_about_in_mixed_order_as_often_as_each_other() -> None:
    lines = list(document_lines("m", ["Why?", "How?"], 6, 3, 8))
    said = [str(line.body["messages"][0]["content"]) for line in lines]  # type: ignore[index]
    beginnings = [text.split(" Question")[0] for text in said]
    assert Counter(Counter(beginnings).values()) == {3: 6}
    assert len(set(said)) == len(lines) == 18
    assert beginnings != sorted(beginnings)
    assert lines == list(document_lines("m", ["Why?", "How?"], 6, 3, 8))


def test_short_lines_ask_for_one_token_and_are_as_long_as_real_ones() -> None:
    lines = list(short_lines("m", 3))
    assert {line.body["max_tokens"] for line in lines} == {1}
    assert all(len(msgspec.json.encode(line)) > 300 for line in lines)


@given(seed=st.integers(0, 50), each=st.integers(1, 12))
def test_every_kind_of_process_is_killed_as_often_and_never_before_its_time(
    seed: int, each: int
) -> None:
    plan = kill_plan(seed, each, (1.0, 8.0))
    assert Counter(kill.victim for kill in plan) == dict.fromkeys(VICTIMS, each)
    assert all(1.0 <= kill.after_s <= 8.0 for kill in plan)
    assert plan == kill_plan(seed, each, (1.0, 8.0))


def test_the_fleets_are_valid_and_stay_off_the_users_ports(tmp_path: Path) -> None:
    fleet = load_fleet(DEFAULT_FLEET)
    for made in (speed_fleet(fleet), exact_fleet(fleet)):
        path = tmp_path / "fleet.yaml"
        write_fleet(made, path)
        assert load_fleet(path) == made
        assert made.gateway.port != fleet.gateway.port
    assert [host.starts_with for host in speed_fleet(fleet).hosts] == ["smollm2", "random-tiny"]
    (exact,) = exact_fleet(fleet).models
    assert exact.dtype == "float32"


def test_a_peak_is_the_largest_sample() -> None:
    peaks = Peaks()
    for used_bytes in (3, 9, 5):
        peaks.add("gateway", used_bytes)
    assert peaks.by_name == {"gateway": 9}


def test_memory_is_watched_until_the_end_and_a_problem_of_the_watch_is_raised() -> None:
    looked = threading.Event()

    def broken() -> dict[str, list[int]]:
        looked.set()
        raise LookupError("no processes")

    with pytest.raises(LookupError), watched(broken):
        assert looked.wait(120)


def run_of(seconds: float, tokens: int = 1000) -> BatchRun:
    return BatchRun(0.0, 1.0, seconds - 1.0, seconds, tokens)


def samples() -> BatchSamples:
    return BatchSamples(
        offline=[OfflineRun(9.0, 1000), OfflineRun(11.0, 1000)],
        one_host=[run_of(12.0)],
        two_hosts=[run_of(8.0)],
        shared_offline=[OfflineRun(24.0, 1000)],
        shared=[run_of(12.0)],
        validated_s=2.5,
        scale=[
            ScaleRun(500, 10.0, {"gateway": 2 * GIB, "run": GIB}),
            ScaleRun(50_000, 200.0, {"gateway": 3 * GIB, "run": 2 * GIB}),
        ],
        survival=SurvivalSamples(
            kills=[Kill(victim, float(n), 10) for n in range(10) for victim in VICTIMS],
            batches=3,
            rows=300,
            asked_again=100,
            resumed=40,
            progress=[(0.0, 0), (10.0, 250)],
        ),
    )


def by_figure(found: BatchSamples) -> dict[str, Row]:
    return {row.figure: row for row in rows_of(found)}


def test_throughput_is_held_against_vllms_own_by_medians() -> None:
    rows = by_figure(samples())
    whole = rows["output tokens/s, submission to completion / vLLM's run_batch"]
    assert whole.value == pytest.approx((1000 / 12) / ((1000 / 9 + 1000 / 11) / 2))
    assert whole.met is False
    busy = rows["output tokens/s, first to last request / vLLM's run_batch"]
    assert busy.value == pytest.approx(whole.value * 12 / 10)
    assert rows["output tokens/s, two hosts / one host"].value == pytest.approx(1.5)
    shared = "prompts that share beginnings, mixed: output tokens/s / vLLM's run_batch"
    assert rows[shared].value == pytest.approx(2)
    assert rows["sending the file to the first request"].value == 1.0
    assert rows["last request to completed"].value == 1.0


def test_a_changed_row_is_told_with_the_place_at_which_it_parts() -> None:
    was = by_id([answered("a", "The sky is blue."), answered("b"), answered("c")])
    rows = [answered("a", "The sky is grey."), answered("b"), answered("d")]

    (told,) = changes(was, rows)

    assert told.startswith("a was ...'The sky is blue.' at character 11, 5 tokens")
    assert "is ...'The sky is grey.'" in told


def test_memory_is_compared_process_by_process() -> None:
    rows = by_figure(samples())
    gateway = rows["peak memory of the gateway, 50,000 lines / 500"]
    run = rows["peak memory of the run, 50,000 lines / 500"]
    assert (gateway.value, gateway.met) == (1.5, True)
    assert (run.value, run.met) == (2.0, False)


def test_a_run_that_was_never_seen_has_no_peak_and_misses() -> None:
    found = samples()
    found.scale[1].peak_bytes.pop("run")
    row = by_figure(found)["peak memory of the run, 50,000 lines / 500"]
    assert row.as_json()["value"] is None
    assert row.met is False


def test_kills_may_cost_no_row_and_no_more_work_than_was_in_flight() -> None:
    rows = by_figure(samples())
    assert all(row.met for name, row in rows.items() if name.startswith("kills of a"))
    assert rows["rows computed again / in flight at kills"].value == pytest.approx(140 / 300)
    worse = samples()
    worse.survival.differences = Differences(1, 2, 3)
    worse.survival.asked_again = 300
    missed = [name for name, row in by_figure(worse).items() if row.met is False]
    assert {
        "rows lost",
        "rows doubled",
        "rows changed",
        "rows computed again / in flight at kills",
    } <= set(missed)


def test_kills_that_met_nothing_prove_nothing() -> None:
    found = samples()
    found.survival.kills = [Kill("host", 1.0, 0)]
    row = by_figure(found)["rows computed again / in flight at kills"]
    assert math.isnan(row.value)
    assert row.met is False


def test_a_run_is_drawn(tmp_path: Path) -> None:
    assert write_plots(samples(), tmp_path).stat().st_size > 1000
