"""`turntable bench coserve`: interactive and batch work on the same engines.

One run compares interactive work alone, batch work alone, the stock vLLM server with priority
scheduling, and Turntable, under a light and a heavy load of bursts. Beside it: the same on two
hosts, whether batch rows come out unharmed, and what the gateway costs.
"""

from benchmarks.coserve.arms import Arms
from benchmarks.coserve.calibrate import fastest, measure_profile
from benchmarks.coserve.exact import compare_rows
from benchmarks.coserve.fleet import coserve_fleets
from benchmarks.coserve.gateway_cost import measure_cost
from benchmarks.coserve.instance import Instance, running_instance
from benchmarks.coserve.pace import expected_pace
from benchmarks.coserve.plots import write_plots
from benchmarks.coserve.prompts import prompts_of
from benchmarks.coserve.rows import rows_of
from benchmarks.coserve.samples import CoserveSamples, SizeSamples
from benchmarks.coserve.workload import SINGLE, SIZES
from benchmarks.figures import Row
from benchmarks.setting import Setting
from benchmarks.workspace import Workspace

ROUNDS = 3
_SEED = 4


def measure(setting: Setting) -> list[Row]:
    """Run it all; the rows of figures. Raises BenchmarkUnable."""
    samples = CoserveSamples(sizes={size.name: SizeSamples() for size in SIZES})
    texts = prompts_of(setting.prompts, _SEED)
    with Workspace.temporary(setting) as workspace:
        fleets = coserve_fleets(workspace.original_fleet)
        samples.slots = fleets.sized(SIZES[0]).slots
        workspace.prepare_weights(fleets.first)
        with running_instance(workspace, fleets) as instance, instance.running_hosts():
            instance.wait_stock()  # it starts with the hosts, and is idle from then on
            _give_profiles(instance, samples)
            _measure(_warm_arms(instance, texts, samples))
    if setting.plots_dir is not None:
        write_plots(samples, setting.plots_dir)
    return rows_of(samples)


def _give_profiles(instance: Instance, samples: CoserveSamples) -> None:
    """Measure one, and give it to each host, for each of its models that is measured for speed."""
    fleets = instance.fleets
    instance.workspace.say("TPOT by batch size")
    samples.profile = fastest(
        measure_profile(instance.awake(fleets.sized(size).name), samples.slots) for size in SIZES
    )
    for host, fleet in zip(instance.hosts, (fleets.first, fleets.second), strict=True):
        for model in fleet.models:
            if model != fleets.exact:
                host.give_profile(model.name, samples.profile)


def _warm_arms(instance: Instance, texts: list[str], samples: CoserveSamples) -> Arms:
    """With answers of lengths that bursts alone have shown to be right."""
    paces = {size.name: expected_pace(samples.profile, size) for size in (*SIZES, SINGLE)}
    arms = Arms(instance, samples, texts, paces)
    instance.workspace.say("bursts alone, to warm up")
    for size in SIZES:
        arms.warm(size)
    return arms


def _measure(arms: Arms) -> None:
    for number in range(ROUNDS):
        arms.instance.workspace.say(f"round {number + 1}: the gateway's cost")
        measure_cost(arms, number)
        arms.round(number)
    say = arms.instance.workspace.say
    say("batch rows in float32")
    compare_rows(arms)
    say("two hosts")
    arms.two_hosts()
