"""`turntable bench loop`: the whole loop, beside the stock vLLM server.

One run asks how soon after a start there is a first token, how soon after a traffic shift the
swapped-in model answers, and what chat through the gateway costs in first-token time and in
throughput. Only one arm runs at a time; rounds alternate which one is first. Shifts are made by
allocation runs there; a last arm, whose hosts share time, has them as switches within a grant.
"""

from benchmarks.figures import Row
from benchmarks.loop.arms import Arm, SharingArm, StockArm, TurntableArm
from benchmarks.loop.fleet import bench_fleet
from benchmarks.loop.plots import write_plots
from benchmarks.loop.rows import rows_of
from benchmarks.loop.samples import LoopSamples
from benchmarks.setting import Setting
from benchmarks.workspace import Workspace

ROUNDS = 2


def measure(setting: Setting) -> list[Row]:
    """Run all rounds; the rows of figures. Raises BenchmarkUnable."""
    samples = LoopSamples()
    with Workspace.temporary(setting) as workspace:
        fleet = bench_fleet(workspace.original_fleet)
        workspace.prepare_weights(fleet)
        for number in range(ROUNDS):
            arms: list[Arm] = [
                TurntableArm(workspace, fleet, samples.turntable, samples.shifts),
                StockArm(workspace, fleet, samples.stock),
            ]
            for arm in arms if number % 2 == 0 else reversed(arms):
                setting.say(f"round {number + 1} of {ROUNDS}: {arm.name}")
                arm.measure()
        sharing = SharingArm(workspace, samples.switched)
        setting.say(sharing.name)
        sharing.measure()
    if setting.plots_dir is not None:
        write_plots(samples, setting.plots_dir)
    return rows_of(samples)
