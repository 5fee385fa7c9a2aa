"""`turntable bench reaction`: from a burst for a model without a replica to its first token.

First without time-sharing, where nothing helps it: the gateway's record of the burst, Dagster's
sensor, an allocation run, its op and the hotswap all lie in between, and every one is timed.
Then with it, where the gateway switches a shared host.
"""

from benchmarks.figures import Row
from benchmarks.instance import started_instance
from benchmarks.loop.fleet import bench_fleet
from benchmarks.reaction.bursts import react
from benchmarks.reaction.plots import write_plots
from benchmarks.reaction.rows import rows_of
from benchmarks.reaction.switches import switch
from benchmarks.setting import Setting
from benchmarks.workspace import Workspace

TIMES = 20
BURST = 4
"""Requests at once."""


def measure(setting: Setting) -> list[Row]:
    """React `TIMES`; the rows of figures. Raises BenchmarkUnable."""
    with Workspace.temporary(setting) as workspace:
        fleet = bench_fleet(workspace.original_fleet)
        workspace.prepare_weights(fleet)
        setting.say("starting an instance")
        with started_instance(workspace, fleet, "reaction") as instance:
            instance.wait_ready()
            reactions = react(instance, TIMES, BURST)
        setting.say("starting an instance whose hosts share time")
        sharing = bench_fleet(workspace.original_fleet, time_sharing=True)
        with started_instance(workspace, sharing, "sharing") as instance:
            instance.wait_ready()
            switched = switch(instance, TIMES, BURST)
    if setting.plots_dir is not None:
        write_plots(reactions, setting.plots_dir)
    return rows_of(reactions, switched)
