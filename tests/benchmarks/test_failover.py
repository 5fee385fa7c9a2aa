"""The failover benchmark without its processes: fleet, what is lost, silence, rows, plot."""

from pathlib import Path

import pytest

from benchmarks.failover.fleet import failover_fleet, kept_model
from benchmarks.failover.load import Served, gap_over, model_of
from benchmarks.failover.plots import write_plots
from benchmarks.failover.rows import rows_of
from benchmarks.failover.samples import Failover, FailoverSamples
from benchmarks.streams import Question, Stream
from benchmarks.workspace import write_fleet
from serving.config import load_fleet
from tests.benchmarks.reactions import timeline

DEFAULT_FLEET = Path(__file__).parents[2] / "config" / "fleet.yaml"


def stream(*times: float, error: str | None = None) -> Stream:
    found = Stream("r", Question("?", len(times)), asked_at=times[0] - 0.1, times=list(times))
    found.counts = list(range(1, len(times) + 1))
    found.error = error
    return found


def samples(*, lost: int = 0) -> FailoverSamples:
    failover = Failover(timeline(hotswap_s=0.5), "host-0", 100.0, host_back_s=20.0)
    return FailoverSamples([failover], [2.0, 4.0], requests=30, lost=["broken"] * lost)


def test_only_one_model_has_a_minimum_and_no_host_begins_with_it(tmp_path: Path) -> None:
    fleet = failover_fleet(load_fleet(DEFAULT_FLEET))
    assert [model.min_replicas for model in fleet.models] == [1, 0]
    assert kept_model(fleet).name not in [host.starts_with for host in fleet.hosts]
    write_fleet(fleet, tmp_path / "fleet.yaml")
    assert load_fleet(tmp_path / "fleet.yaml") == fleet


def test_a_request_is_lost_when_its_client_saw_an_error() -> None:
    served = Served([stream(1.0, 2.0), stream(1.0, 2.0, error="broken")])
    assert served.lost == [served.streams[1]]


def test_streams_that_ran_over_a_kill_are_found_and_their_silence_is_measured() -> None:
    over, before, after = stream(1.0, 2.0, 5.5, 6.0), stream(1.0, 2.0), stream(5.0, 6.0)
    served = Served([over, before, after])
    assert served.running_at(3.0) == [over]
    assert gap_over(over, 3.0) == pytest.approx(3.5)


def test_a_stream_belongs_to_its_model_and_to_none_whose_name_begins_alike() -> None:
    assert model_of(Stream("small-exact-7", Question("?", 1))) == "small-exact"


def test_one_lost_request_misses_the_target() -> None:
    assert rows_of(samples())[0].met is True
    assert rows_of(samples(lost=1))[0].met is False


def test_the_time_without_the_minimum_ends_with_the_hotswap() -> None:
    values = {row.figure: row.value for row in rows_of(samples())}
    assert values["kill to minimum replicas back, p95"] == pytest.approx(2.5)
    assert values["silence of a stream over the kill, max"] == 4.0


def test_a_plot_is_written(tmp_path: Path) -> None:
    assert write_plots(samples(), tmp_path).read_bytes().startswith(b"\x89PNG")
