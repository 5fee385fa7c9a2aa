"""`turntable bench swap`: what changing a host's awake model costs, tier by tier.

One run asks how a swap compares with starting the stock server, whether a hundred swaps in a row
stay fast, whole and lean, what clients notice of a swap under load, and how cost grows with size.
"""

from benchmarks.figures import Row
from benchmarks.setting import Setting
from benchmarks.start import first_answer
from benchmarks.stock import StockServer
from benchmarks.swap.bandwidth import host_to_device_bytes_per_s
from benchmarks.swap.cycles import cycle
from benchmarks.swap.fleet import SwapFleets, swap_fleets
from benchmarks.swap.instance import Instance, running_instance
from benchmarks.swap.load import swap_under_load
from benchmarks.swap.plots import write_plots
from benchmarks.swap.rows import rows_of
from benchmarks.swap.samples import DeviceLink, SwapSamples
from benchmarks.swap.tiers import idle_engine, swaps_from_asleep, swaps_from_below, swaps_of_sizes
from benchmarks.workspace import Workspace


def measure(setting: Setting) -> list[Row]:
    """Run it all; the rows of figures. Raises BenchmarkUnable."""
    samples = SwapSamples()
    with Workspace.temporary(setting) as workspace:
        fleets = swap_fleets(workspace.original_fleet)
        workspace.prepare_weights(fleets.tight)
        samples.link = _link(workspace, fleets)
        _start_stock(workspace, fleets, samples)
        with running_instance(workspace, fleets) as instance:
            _measure_swaps(instance, samples)
        _start_stock(workspace, fleets, samples)
    if setting.plots_dir is not None:
        write_plots(samples, setting.plots_dir)
    return rows_of(samples)


def _link(workspace: Workspace, fleets: SwapFleets) -> DeviceLink | None:
    host = fleets.tight.hosts[1]
    bytes_per_s = host_to_device_bytes_per_s(workspace, host)
    if bytes_per_s is None:
        return None
    workspace.say(f"host to device: {bytes_per_s / 1e9:.1f} GB/s")
    return DeviceLink(max(1, len(host.devices)), bytes_per_s)


def _start_stock(workspace: Workspace, fleets: SwapFleets, samples: SwapSamples) -> None:
    """Once before and once after, so that a machine that changes its pace favours nobody."""
    stock = StockServer(workspace, fleets.first, fleets.roomy.hosts[0])
    with stock.started(f"stock-{len(samples.stock_start_s)}") as server:
        first = first_answer(server, stock.url, stock.model.name)
        samples.stock_start_s.append(first.first_token_at - server.started_at)
    workspace.say(f"stock server: first token after {samples.stock_start_s[-1]:.1f} s")


def _measure_swaps(instance: Instance, samples: SwapSamples) -> None:
    say = instance.say
    swaps_from_asleep(instance, samples)
    idle_engine(instance, samples)
    swaps_from_below(instance, samples)
    say("swaps in a row")
    cycle(instance, samples)
    say("swap under load")
    swap_under_load(instance, samples.load_fresh)
    swap_under_load(instance, samples.load)
    say("sizes")
    swaps_of_sizes(instance, samples)
