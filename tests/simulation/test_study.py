"""Studies: traces are checked, pools are sized, and the planner is the one that runs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from simulation.errors import AssumptionsUnusable, TraceUnusable
from simulation.rows import compared
from simulation.setting import Assumptions, read_assumptions
from simulation.study import Study
from simulation.trace import read_trace
from tests.simulation.traces import frame, trace
from turntable.cli import app


def test_a_file_without_a_column_is_refused_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "trace.parquet"
    frame((0.0, "a", 1, 1)).drop("model").write_parquet(file)
    with pytest.raises(TraceUnusable, match="no column model"):
        read_trace(file)


def test_a_negative_time_is_refused_with_the_row(tmp_path: Path) -> None:
    file = tmp_path / "trace.parquet"
    frame((0.0, "a", 1, 1), (-1.0, "a", 7, 8)).write_parquet(file)
    with pytest.raises(TraceUnusable, match=r"1 of 2 rows .*7, 8"):
        read_trace(file)


def test_requests_without_a_class_are_interactive_and_come_in_order(tmp_path: Path) -> None:
    file = tmp_path / "trace.parquet"
    frame((2.0, "b", 1, 0), (1.0, "a", 1, 1)).write_parquet(file)
    read = read_trace(file)
    assert read.arrival_s.tolist() == [1.0, 2.0]
    assert not read.batch.any()
    assert read.output_tokens.tolist() == [1, 1]


def test_unknown_assumptions_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "assume.json"
    file.write_text('{"step_ms": 3}')
    with pytest.raises(AssumptionsUnusable, match="step_ms"):
        read_assumptions(file)


def test_hosts_of_one_machine_answer_later_than_hosts_of_their_own() -> None:
    both = trace(*((10.0 * n, model, 2000, 100) for n in range(9) for model in "ab"))
    for apart in (Assumptions(), Assumptions(hosts_per_machine=2)):
        assert apart.shared_cores is None
    shared = Assumptions(hosts_per_machine=2, slower_beside=20.0)
    attained = [
        study.attained(study.policies()["turntable"](2), 2).interactive
        for study in (Study(both, Assumptions()), Study(both, shared))
    ]
    assert attained == [1.0, 0.0]


def test_two_models_share_a_host_and_the_second_waits_for_a_switch_only() -> None:
    study = Study(trace((0.0, "a", 10, 1), (30.0, "b", 10, 1)), Assumptions())
    found = study.attained(study.policies()["turntable"](1), 1)
    assert (found.moves, found.switches) == (0, 1)
    assert found.interactive == 1.0


def test_the_planner_gives_a_model_in_constant_use_a_host_of_its_own() -> None:
    busy = [(0.05 * n, "a", 100, 50) for n in range(12_000)]
    rare = [(100.0 * n, model, 10, 1) for n in range(6) for model in "bcd"]
    study = Study(trace(*busy, *rare), Assumptions())
    policy = study.policies()["turntable"](3)
    seen = []

    class Watched(type(policy)):  # type: ignore[misc] # the planned policy
        def tick(self, now, cluster):  # type: ignore[no-untyped-def]
            seen.append(sorted(host.grant for host in cluster.hosts if len(host.grant) == 1))
            return super().tick(now, cluster)

    policy.__class__ = Watched
    study.attained(policy, 3)
    assert seen[0] == []
    assert seen[-1] == [(0,)]


def test_what_is_equal_to_nothing_is_neither_met_nor_missed() -> None:
    study = Study(trace(*((float(n), "a", 10, 10) for n in range(40))), Assumptions())
    found = {name: study.attained(make(2), 2) for name, make in study.policies().items()}
    rows = {row.figure: row for row in compared(found, 1.0)}
    assert rows["moves, turntable / clairvoyant"].met is None
    assert rows["attainment, turntable / clairvoyant"].value == 1.0


def test_a_pool_is_sized_to_the_fewest_hosts_that_attain_the_level() -> None:
    # Two models that never rest, each within one engine: pinning needs one engine each.
    rows = [(0.5 * n, model, 100, 20) for n in range(200) for model in "ab"]
    study = Study(trace(*rows), Assumptions())
    assert study.engines_pinned_to_the_peak() == 2
    assert study.engines_for(study.policies()["pinned to the mean"], 8) == 2
    assert study.engines_for(study.policies()["pinned to the mean"], 1) is None


def test_the_command_writes_a_row_for_every_policy(tmp_path: Path) -> None:
    file, out = tmp_path / "trace.parquet", tmp_path / "out.json"
    frame(*((float(n), "ab"[n % 2], 10, 10) for n in range(40))).write_parquet(file)
    done = CliRunner().invoke(
        app,
        ["simulate", "--trace", str(file), "--size", "--json", str(out), "--plots", str(tmp_path)],
    )
    assert done.exit_code == 0, done.output
    figures = [row["figure"] for row in json.loads(out.read_text())["rows"]]
    for policy in Study(read_trace(file), Assumptions()).policies():
        assert f"{policy}: interactive attainment" in figures
        assert f"engines for 99 %, {policy}" in figures
    assert (tmp_path / "simulate.png").stat().st_size > 10_000
