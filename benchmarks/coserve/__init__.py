"""`turntable bench coserve`: interactive and batch work on the same engines.

One run compares interactive work alone, batch work alone, the stock vLLM server with priority
scheduling, and Turntable, under a light and a heavy load of bursts. Beside it: the same on two
hosts, whether batch rows come out unharmed, and what the gateway costs.
"""

from benchmarks.coserve.arms import Arms, two_hosts
from benchmarks.coserve.calibrate import measure_alone, measure_profile
from benchmarks.coserve.exact import compare_rows
from benchmarks.coserve.fleet import LEVEL_OVER_ALONE, CoserveFleets, coserve_fleets
from benchmarks.coserve.gateway_cost import measure_cost
from benchmarks.coserve.instance import Instance, running_instance
from benchmarks.coserve.plots import write_plots
from benchmarks.coserve.prompts import prompts_of
from benchmarks.coserve.rows import rows_of
from benchmarks.coserve.samples import CoserveSamples, SizeSamples
from benchmarks.coserve.workload import SINGLE, SIZES, answer_tokens
from benchmarks.figures import Row
from benchmarks.setting import Setting
from benchmarks.workspace import Workspace

ROUNDS = 2
_SEED = 4


def measure(setting: Setting) -> list[Row]:
    """Run it all; the rows of figures. Raises BenchmarkUnable."""
    samples = CoserveSamples(sizes={size.name: SizeSamples() for size in SIZES})
    texts = prompts_of(setting.prompts, _SEED)
    with Workspace.temporary(setting) as workspace:
        fleets = coserve_fleets(workspace.original_fleet)
        samples.slots = fleets.sized(SIZES[0]).slots
        workspace.prepare_weights(fleets.first)
        with running_instance(workspace, fleets) as instance:
            tokens = _calibrate(instance, texts, samples)
            levels = {name: found.level_s for name, found in samples.sizes.items()}
            measured = fleets.with_levels(levels)
            with instance.running_hosts(measured, second=True):
                _give_profiles(instance, measured, samples)
                _measure(Arms(instance, samples, texts, tokens))
    if setting.plots_dir is not None:
        write_plots(samples, setting.plots_dir)
    return rows_of(samples)


def _calibrate(instance: Instance, texts: list[str], samples: CoserveSamples) -> dict[str, int]:
    """Profile, service levels; the mean length of an answer by name of size."""
    say, fleets = instance.workspace.say, instance.fleets
    tokens = {}
    with instance.running_hosts(fleets.calibration, second=False):
        instance.wait_stock()  # it started meanwhile, and is idle from then on
        endpoint = instance.ours(fleets.sized(SIZES[0]).name)
        say("calibration: TPOT by batch size, and of bursts alone")
        samples.profile = measure_profile(endpoint, samples.slots)
        for size in SIZES:
            alone = measure_alone(endpoint, size, texts)
            samples.sizes[size.name].level_s = LEVEL_OVER_ALONE * alone.tpot_p50_s
            tokens[size.name] = answer_tokens(
                size, ttft_s=alone.ttft_p50_s, tpot_s=alone.tpot_p50_s
            )
    return tokens | {SINGLE.name: tokens[SIZES[0].name]}


def _give_profiles(instance: Instance, fleets: CoserveFleets, samples: CoserveSamples) -> None:
    """To each host, for each of its models that is measured for speed."""
    for host, fleet in zip(instance.hosts, (fleets.first, fleets.second), strict=True):
        for model in fleet.models:
            if model != fleets.exact:
                host.give_profile(model.name, samples.profile)


def _measure(arms: Arms) -> None:
    for number in range(ROUNDS):
        measure_cost(arms, number)
        arms.round(number)
    say = arms.instance.workspace.say
    say("batch rows in float32")
    compare_rows(arms)
    say("two hosts")
    two_hosts(arms)
