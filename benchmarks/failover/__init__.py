"""`turntable bench failover`: hosts killed under load; what is lost, and how soon service is back.

The host that serves a model with a minimum is killed with its process group, again and again, while
clients stream from it. The other host, which has a model without a minimum, is given the model by
an allocation run; the streams go on there.
"""

from benchmarks.failover.fleet import failover_fleet, kept_model, other_model
from benchmarks.failover.kills import fail_over, wait_settled
from benchmarks.failover.load import Clients, Served, gap_over, lasting_load, model_of
from benchmarks.failover.plots import write_plots
from benchmarks.failover.rows import rows_of
from benchmarks.failover.samples import FailoverSamples
from benchmarks.figures import Row
from benchmarks.instance import Instance, started_instance
from benchmarks.setting import Setting
from benchmarks.streams import Endpoint
from benchmarks.workspace import Workspace

KILLS = 10
_STREAMS = 4
_STREAM_TOKENS = 160
_BATCH_STREAMS = 2
_BATCH_TOKENS = 64


def measure(setting: Setting) -> list[Row]:
    """Kill `KILLS` hosts, one after the other; the rows of figures. Raises BenchmarkUnable."""
    samples = FailoverSamples()
    with Workspace.temporary(setting) as workspace:
        fleet = failover_fleet(workspace.original_fleet)
        workspace.prepare_weights(fleet)
        setting.say("starting an instance")
        with started_instance(workspace, fleet, "failover") as instance:
            instance.wait_ready()
            wait_settled(instance)
            with lasting_load(_clients(instance)) as served, instance.reader() as reader:
                for _ in range(KILLS):
                    samples.failovers.append(fail_over(instance, reader))
                    setting.say(f"{len(served.lost)} of {len(served.streams)} requests lost so far")
        _count(served, samples)
    for problem in sorted(set(samples.lost)):
        setting.say(f"a request was lost: {problem}")
    if setting.plots_dir is not None:
        write_plots(samples, setting.plots_dir)
    return rows_of(samples)


def _clients(instance: Instance) -> list[Clients]:
    kept = Endpoint(instance.gateway, kept_model(instance.fleet).name, {}, instance.key)
    flex: dict[str, object] = {"service_tier": "flex"}
    other = Endpoint(instance.gateway, other_model(instance.fleet).name, flex, instance.key)
    return [
        Clients(kept, _STREAMS, _STREAM_TOKENS),
        Clients(other, _BATCH_STREAMS, _BATCH_TOKENS, batch=True),
    ]


def _count(served: Served, samples: FailoverSamples) -> None:
    samples.requests = len(served.streams)
    samples.lost = [str(stream.error) for stream in served.lost]
    for failover in samples.failovers:
        at = failover.killed_at
        model = failover.timeline.model
        samples.gaps_s += [
            gap_over(stream, at) for stream in served.running_at(at) if model_of(stream) == model
        ]
