"""The loop benchmark's pure parts: its fleet, its rows, its plot."""

import math
from pathlib import Path

import pytest

from benchmarks.chat import Answer, Load
from benchmarks.loop.fleet import bench_fleet
from benchmarks.loop.plots import write_plots
from benchmarks.loop.rows import rows_of
from benchmarks.loop.samples import ChatSamples, LoopSamples
from benchmarks.setting import BenchmarkUnable, Setting
from benchmarks.workspace import Workspace, write_fleet
from serving.config import Fleet, StateFolder, load_fleet
from tests.benchmarks.reactions import reaction

DEFAULT_FLEET = Path(__file__).parents[2] / "config" / "fleet.yaml"


@pytest.fixture
def fleet() -> Fleet:
    return load_fleet(DEFAULT_FLEET)


def answer(ttft_s: float, tokens_per_s: float) -> Answer:
    return Answer(0.0, ttft_s, ttft_s + 10 / tokens_per_s, 11)


def samples() -> LoopSamples:
    ours = ChatSamples(
        first_token_s=[20.0, 30.0],
        all_ready_s=[40.0, 42.0],
        single=[answer(0.2, 50), answer(0.4, 50), answer(0.2, 40)],
        side_by_side=[Load([answer(0.5, 20), answer(0.7, 20)], 0.22)],
    )
    stock = ChatSamples(
        first_token_s=[50.0, 50.0],
        single=[answer(0.1, 50)],
        side_by_side=[Load([answer(0.4, 20)], 0.11)],
    )
    shifts = [reaction("b", first_token_s=3.0, hotswap_s=0.5), reaction("a", 5.0, 0.7)]
    return LoopSamples(ours, stock, shifts)


def values(found: LoopSamples) -> dict[str, float]:
    return {row.figure: row.value for row in rows_of(found)}


def test_arms_are_compared_by_ratio_within_the_run() -> None:
    found = values(samples())
    assert found["start to first token, turntable / stock"] == pytest.approx(0.5)
    assert found["chat TTFT p50, 1 stream, turntable / stock"] == pytest.approx(2.0)
    assert found["chat output, 1 stream, turntable / stock"] == pytest.approx(1.0)
    assert found["chat TTFT p50, 8 streams, turntable"] == pytest.approx(0.6)
    assert found["chat output, 8 streams, turntable"] == pytest.approx(100)


def test_the_start_target_is_for_the_slowest_round() -> None:
    row = rows_of(samples())[0]
    assert (row.value, row.met) == (30.0, True)
    late = samples()
    late.turntable.first_token_s.append(60.1)
    assert rows_of(late)[0].met is False


def test_shifts_are_summarized_by_their_middle_and_their_worst() -> None:
    found = values(samples())
    assert found["traffic shift to first token, p50"] == 4.0
    assert found["traffic shift to first token, max"] == 5.0
    assert found["traffic shifts"] == 2
    assert found["hotswap, p50"] == pytest.approx(0.6)


def test_figures_that_were_not_measured_have_no_value() -> None:
    rows = rows_of(LoopSamples())
    assert all(math.isnan(row.value) for row in rows if row.unit != "count")
    assert rows[0].met is False


def test_the_bench_fleet_is_valid_on_ports_of_its_own(fleet: Fleet, tmp_path: Path) -> None:
    made = bench_fleet(fleet)
    write_fleet(made, tmp_path / "fleet.yaml")
    assert load_fleet(tmp_path / "fleet.yaml") == made
    usual = {fleet.gateway.port, fleet.store.port, *(host.port for host in fleet.hosts)}
    assert not usual & {made.gateway.port, made.store.port, *(host.port for host in made.hosts)}


def test_the_chat_model_keeps_its_one_replica_and_the_others_share_a_host(fleet: Fleet) -> None:
    made = bench_fleet(fleet)
    assert [host.starts_with for host in made.hosts] == [m.name for m in fleet.models[:2]]
    assert [(m.min_replicas, m.max_replicas) for m in made.models] == [(1, 1), (0, 1), (0, 1)]
    assert made.models[0].interactive_cap == made.models[0].slots


def test_a_fleet_without_a_host_to_move_is_refused(fleet: Fleet) -> None:
    with pytest.raises(BenchmarkUnable, match="1 hosts"):
        bench_fleet(fleet.model_copy(update={"hosts": fleet.hosts[:1]}))


def test_a_plot_is_written(tmp_path: Path) -> None:
    assert write_plots(samples(), tmp_path).read_bytes().startswith(b"\x89PNG")


def test_logs_are_kept_when_a_run_could_not_go_on_and_else_removed(tmp_path: Path) -> None:
    said: list[str] = []
    setting = Setting(DEFAULT_FLEET, StateFolder(tmp_path), said.append)
    with Workspace.temporary(setting) as gone:
        assert gone.root.is_dir()
    assert not gone.root.exists()
    with pytest.raises(BenchmarkUnable), Workspace.temporary(setting) as kept:
        raise BenchmarkUnable("no host", where="the fleet", fix="Add one.")
    assert kept.root.is_dir()
    assert str(kept.root) in said[-1]
    kept.root.rmdir()


def test_arms_share_prepared_weights_and_nothing_else(tmp_path: Path) -> None:
    setting = Setting(DEFAULT_FLEET, StateFolder(tmp_path), lambda _sentence: None)
    with Workspace.temporary(setting) as workspace:
        state = workspace.state("one")
        (setting.state.weights / "prepared").touch()
        assert (state.weights / "prepared").exists()
        assert not state.database.exists()
        assert state.token("store") != setting.state.token("store")
