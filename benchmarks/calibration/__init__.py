"""`turntable bench calibrate`: the simulator's predictions for a small fleet, beside what it did.

A trace is sent to a real fleet. What the simulator assumes of engines and hotswaps is fitted to the
batch-size profile and the recorded hotswaps of the same run, and the same requests are replayed.
"""

import time

from benchmarks.calibration.engines import measure_engines
from benchmarks.calibration.fitting import assumptions
from benchmarks.calibration.fleet import TENANTS, calibration_fleet
from benchmarks.calibration.plots import write_plots
from benchmarks.calibration.predicted import as_answered, predictions
from benchmarks.calibration.recorded import read_answered, read_prefills, read_swaps
from benchmarks.calibration.rows import Outcome, rows_of
from benchmarks.calibration.samples import CalibrationSamples
from benchmarks.calibration.sending import send
from benchmarks.calibration.workload import made_trace, small_slice
from benchmarks.figures import Row
from benchmarks.instance import Instance, started_instance
from benchmarks.setting import Setting
from benchmarks.workspace import Workspace
from simulation.trace import Trace, read_trace


def measure(setting: Setting) -> list[Row]:
    """Send, fit, replay; the rows of figures. Raises BenchmarkUnable, TraceUnusable."""
    trace = _trace(setting)
    with Workspace.temporary(setting) as workspace:
        fleet = calibration_fleet(workspace.original_fleet)
        workspace.prepare_weights(fleet)
        setting.say("starting an instance")
        with started_instance(workspace, fleet, "calibration") as instance:
            samples = _sample(instance, trace)
    assumed = assumptions(samples, fleet)
    real = Outcome(samples.answered, len(samples.swaps))
    predicted = [
        Outcome([as_answered(each, fleet) for each in one.requests], one.moves + one.switches)
        for one in predictions(samples, fleet, assumed)
    ]
    if setting.plots_dir is not None:
        write_plots(real, predicted[0], setting.plots_dir)
    return rows_of(real, predicted, assumed, samples.client_later_s)


def _trace(setting: Setting) -> Trace:
    if setting.trace is None:
        return made_trace(TENANTS)
    return small_slice(read_trace(setting.trace), TENANTS)


def _sample(instance: Instance, trace: Trace) -> CalibrationSamples:
    """Send the trace, and measure each host's engine before and after it."""
    instance.wait_ready()
    for host in instance.fleet.hosts:
        instance.wait_for_tiers(host.name)
    before = measure_engines(instance, "before")
    instance.say(f"sending {len(trace)} requests over {trace.duration_s:.0f} s")
    began_at = time.time()
    streams = send(instance, trace)
    with instance.reader() as reader:
        answered, client_later_s = read_answered(instance, reader, streams)
        swaps = read_swaps(instance, reader, began_at)
        after = measure_engines(instance, "after")
        return CalibrationSamples(
            answered=answered,
            client_later_s=client_later_s,
            swaps=swaps,
            profile=before.profile + after.profile,
            together=before.together + after.together,
            prefills=read_prefills(instance, reader, before.prompts + after.prompts),
            slots=instance.fleet.models[0].slots,
        )
