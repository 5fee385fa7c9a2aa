"""The swap benchmark's pure parts: its fleets, its rows, its plot."""

import math
from pathlib import Path

import pytest
import torch

from benchmarks.figures import Row
from benchmarks.report import verdict
from benchmarks.setting import BenchmarkUnable
from benchmarks.swap.bandwidth import host_to_device_bytes_per_s
from benchmarks.swap.fleet import SwapFleets, swap_fleets
from benchmarks.swap.plots import write_plots
from benchmarks.swap.rows import rows_of
from benchmarks.swap.samples import (
    CycleSamples,
    DeviceLink,
    LoadSamples,
    SizedSwap,
    Swap,
    SwapSamples,
)
from benchmarks.workspace import Workspace, write_fleet
from serving.config import Fleet, StateFolder, load_fleet
from serving.wire import SwapReport, Tier

DEFAULT_FLEET = Path(__file__).parents[2] / "config" / "fleet.yaml"


@pytest.fixture
def fleets() -> SwapFleets:
    return swap_fleets(load_fleet(DEFAULT_FLEET))


def swap(tier: Tier, first_token_s: float) -> Swap:
    report = SwapReport(
        host="host-0",
        plan_id=1,
        from_model="a",
        to_model="b",
        outcome="committed",
        from_tier=tier,
        total_s=first_token_s / 2,
        phases_s={},
        handed_back=0,
        service_gap_s=first_token_s / 2,
    )
    return Swap(report, first_token_s)


def samples() -> SwapSamples:
    return SwapSamples(
        stock_start_s=[30.0, 34.0],
        swaps=[swap("asleep", 0.5), swap("asleep", 0.8), swap("parked", 2.0), swap("disk", 16.0)],
        idle_beyond_weights_bytes=[300_000_000],
        cycles=CycleSamples([0.5] * 99 + [0.6], 0, 98, 98, 1000, 1040),
        load=LoadSamples(2, 0, 2, [0.4, 1.2]),
        sizes=[SizedSwap(100_000_000, "disk", 8.0), SizedSwap(100_000_000, "asleep", 0.5)],
    )


def by_figure(found: SwapSamples) -> dict[str, Row]:
    return {row.figure: row for row in rows_of(found)}


def test_each_tier_is_compared_with_the_stock_start_by_medians() -> None:
    rows = by_figure(samples())
    assert rows["stock start / swap to an asleep model"].value == pytest.approx(32 / 0.65)
    assert rows["stock start / swap to a parked model"].value == pytest.approx(16)
    assert rows["stock start / swap to a model on disk"].value == pytest.approx(2)
    assert [
        rows[f"stock start / swap to {words}"].met
        for words in ("an asleep model", "a parked model", "a model on disk")
    ] == [True, True, False]


def test_the_gap_in_service_is_the_hosts_time_without_an_awake_model() -> None:
    row = by_figure(samples())["gap in service where both fit, p50"]
    assert (row.value, row.met) == (pytest.approx(325), False)


def test_swaps_in_a_row_must_stay_fast_whole_lean_and_exact() -> None:
    rows = by_figure(samples())
    assert rows["swaps in a row"].value == 100
    assert rows["swaps in a row, growth of memory"].value == pytest.approx(4)
    assert all(row.met for name, row in rows.items() if name.startswith("swaps in a row, p99"))
    worse = samples()
    worse.cycles.identical -= 1
    worse.cycles.failures += 1
    worse.cycles.memory_after_bytes = 1051
    worse.cycles.swap_s[:2] = [1.1, 1.1]
    missed = [name for name, row in by_figure(worse).items() if row.met is False]
    assert [name for name in missed if name.startswith("swaps in a row")] == [
        "swaps in a row, p99 / p50",
        "swaps in a row, failures",
        "swaps in a row, growth of memory",
        "swaps in a row, outputs as in the first cycle",
    ]


def test_the_longest_gap_is_the_worst_streams_and_a_broken_stream_hides_nothing() -> None:
    figure = "swap under load, longest gap between tokens"
    assert by_figure(samples())[figure].value == 1.2
    broken = samples()
    broken.load.longest_gaps_s.append(math.nan)
    assert by_figure(broken)[figure].met is False


def test_what_needs_a_gpu_is_neither_met_nor_missed_and_says_why() -> None:
    (row,) = [row for row in rows_of(samples()) if row.impossible]
    assert (row.as_json()["value"], row.met) == (None, None)
    assert row.as_json()["impossible"]
    assert verdict([row]) == "No figure has a target."


def test_a_wake_from_host_ram_is_compared_with_the_link_to_each_device_of_the_host() -> None:
    found = samples()
    found.link = DeviceLink(devices=2, bytes_per_s=10e9)
    found.sizes = [
        SizedSwap(1_000_000_000, "asleep", 1.0, wake_s=1.0),
        SizedSwap(4_000_000_000, "asleep", 1.0, wake_s=0.25),
        SizedSwap(8_000_000_000, "disk", 1.0, wake_s=0.001),
    ]
    row = by_figure(found)["weights restored from host RAM, share of host-to-device bandwidth"]
    assert row.impossible is None
    assert (row.value, row.met) == (pytest.approx(0.8), True)


def test_a_link_without_a_wake_from_host_ram_misses_the_target() -> None:
    found = samples()
    found.link, found.sizes = DeviceLink(1, 10e9), []
    row = by_figure(found)["weights restored from host RAM, share of host-to-device bandwidth"]
    assert row.as_json()["value"] is None
    assert row.met is False


def test_a_host_on_cpu_has_no_link_to_a_device(tmp_path: Path) -> None:
    fleet = load_fleet(DEFAULT_FLEET)
    workspace = Workspace(tmp_path, StateFolder(tmp_path), fleet, lambda _text: None)
    assert host_to_device_bytes_per_s(workspace, fleet.hosts[0]) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
def test_a_host_whose_device_is_missing_cannot_be_measured_and_says_why(tmp_path: Path) -> None:
    fleet = load_fleet(DEFAULT_FLEET)
    workspace = Workspace(tmp_path, StateFolder(tmp_path), fleet, lambda _text: None)
    host = fleet.hosts[0].model_copy(update={"accelerator": "cuda", "devices": [0]})
    with pytest.raises(BenchmarkUnable, match="copying to the device failed"):
        host_to_device_bytes_per_s(workspace, host)


def test_on_cuda_a_host_keeps_the_memory_its_fleet_file_gives_it() -> None:
    fleet = load_fleet(DEFAULT_FLEET.with_name("fleet.gpu.yaml"))
    for made in (swap_fleets(fleet).roomy, swap_fleets(fleet).tight):
        assert [host.host_memory_gib for host in made.hosts] == [160, 160]


def test_sizes_are_listed_by_tier_and_what_was_not_seen_has_no_value() -> None:
    rows = by_figure(samples())
    label = "0.1 GB of random weights, swap from "
    assert [rows[label + tier].value for tier in ("asleep", "disk")] == [0.5, 8.0]
    assert math.isnan(rows[label + "parked"].value)


def test_nothing_measured_meets_no_target() -> None:
    assert not any(row.met for row in rows_of(SwapSamples()))


def test_both_fleet_files_are_valid_and_name_the_same_hosts(
    fleets: SwapFleets, tmp_path: Path
) -> None:
    for name, fleet in (("roomy", fleets.roomy), ("tight", fleets.tight)):
        write_fleet(fleet, tmp_path / name)
        assert load_fleet(tmp_path / name) == fleet
    assert [(h.name, h.port) for h in fleets.roomy.hosts] == [
        (h.name, h.port) for h in fleets.tight.hosts
    ]
    assert fleets.first.name in {model.name for model in fleets.tight.models}


def test_twins_differ_from_the_first_model_by_name_only(fleets: SwapFleets) -> None:
    twins = [fleets.tight.model(name) for name in fleets.twins]
    assert len({twin.name for twin in twins}) == 3
    assert {twin.model_copy(update={"name": "same"}).model_dump_json() for twin in twins} == {
        fleets.first.model_copy(update={"name": "same"}).model_dump_json()
    }
    assert fleets.exact.dtype == "float32"


def test_no_cap_holds_resumed_streams_back(fleets: SwapFleets) -> None:
    assert fleets.first.interactive_cap == fleets.first.slots


def test_a_fleet_without_a_second_host_is_refused() -> None:
    fleet: Fleet = load_fleet(DEFAULT_FLEET)
    with pytest.raises(BenchmarkUnable, match="1 hosts"):
        swap_fleets(fleet.model_copy(update={"hosts": fleet.hosts[:1]}))


def test_a_plot_is_written(tmp_path: Path) -> None:
    assert write_plots(samples(), tmp_path).read_bytes().startswith(b"\x89PNG")
