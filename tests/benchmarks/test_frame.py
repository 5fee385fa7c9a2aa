"""The frame: rows, targets, the table, the JSON file, benchmarks that cannot run."""

import json
import math
from pathlib import Path

import pytest

import benchmarks
from benchmarks.figures import Row, Target
from benchmarks.report import readable, verdict
from benchmarks.setting import BenchmarkUnable, Setting
from serving.config import StateFolder

ROWS = [
    Row("startup", 61.5, "s", Target("<=", 60)),
    Row("throughput", 120.0, "tokens/s", Target(">=", 100)),
    Row("swaps", 3, "count"),
]


@pytest.mark.parametrize(
    ("comparison", "value", "met"),
    [("<=", 5.0, True), ("<=", 5.1, False), (">=", 5.0, True), (">=", 4.9, False)],
)
def test_a_target_is_met_up_to_and_including_its_bound(
    comparison: str, value: float, met: bool
) -> None:
    assert Row("figure", value, "s", Target(comparison, 5.0)).met is met


@pytest.mark.parametrize("comparison", ["<=", ">="])
def test_a_figure_without_a_value_misses_its_target(comparison: str) -> None:
    row = Row("figure", math.nan, "s", Target(comparison, 5.0))
    assert row.met is False
    assert row.as_json()["value"] is None


def test_a_run_writes_json_of_exactly_the_agreed_form(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "result.json"
    run("sample", lambda _setting: ROWS, tmp_path, json_path=path)
    written = json.loads(path.read_text())
    assert list(written) == ["bench", "machine", "versions", "rows"]
    assert written["bench"] == "sample"
    assert written["machine"]["cores"] >= 1
    assert "python" in written["versions"]
    assert written["rows"] == [
        {"figure": "startup", "value": 61.5, "unit": "s", "target": "<= 60", "met": False},
        {
            "figure": "throughput",
            "value": 120.0,
            "unit": "tokens/s",
            "target": ">= 100",
            "met": True,
        },
        {"figure": "swaps", "value": 3, "unit": "count", "target": None, "met": None},
    ]


def test_a_run_prints_every_figure_and_names_what_was_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("sample", lambda _setting: ROWS, tmp_path)
    printed = capsys.readouterr().out
    for row in ROWS:
        assert row.figure in printed
    assert "Missed 1 of 2 targets: startup." in printed


def test_the_verdict_without_targets_claims_nothing() -> None:
    assert verdict([ROWS[2]]) == "No figure has a target."
    assert verdict(ROWS[1:]) == "1 of 1 targets met."


def test_a_benchmark_gets_a_plots_folder_that_is_there(tmp_path: Path) -> None:
    def plots(setting: Setting) -> list[Row]:
        assert setting.plots_dir is not None
        (setting.plots_dir / "plot.png").write_bytes(b"")
        return []

    run("sample", plots, tmp_path, plots_dir=tmp_path / "plots")
    assert (tmp_path / "plots" / "plot.png").exists()


def test_a_benchmark_that_cannot_run_writes_no_file(tmp_path: Path) -> None:
    def unable(_setting: Setting) -> list[Row]:
        raise BenchmarkUnable("no host", where="the fleet", fix="Add one.")

    path = tmp_path / "result.json"
    with pytest.raises(BenchmarkUnable, match="no host"):
        run("sample", unable, tmp_path, json_path=path)
    assert not path.exists()


def test_an_unknown_name_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(BenchmarkUnable, match="loop"):
        benchmarks.run("lopp")


def test_every_registered_benchmark_can_be_imported() -> None:
    from benchmarks.registry import _find

    assert all(callable(_find(name)) for name in benchmarks.names())


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.0123"), (12.345, "12.3"), (1234.5, "1,234"), (3, "3"), (math.nan, "no value")],
)
def test_values_are_printed_with_three_digits(value: float, text: str) -> None:
    assert readable(value) == text


def run(
    name: str,
    benchmark: benchmarks.registry.Benchmark,
    folder: Path,
    *,
    json_path: Path | None = None,
    plots_dir: Path | None = None,
) -> benchmarks.BenchmarkResult:
    state = StateFolder(folder / "state")
    return benchmarks.run(name, json_path, plots_dir, state=state, benchmark=benchmark)
