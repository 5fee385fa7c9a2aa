"""The same requests through the simulator, several times. Pure.

One replay is one of those that could have happened: where a fleet is almost full, a request that
comes a step of an engine later finds another host idle, and the tail of TTFT is another one. So the
figures are medians over replays whose arrivals differ by that much.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration.samples import Answered, CalibrationSamples
from serving.config import Fleet
from serving.switching.timing import patience_s
from simulation.cluster import Cluster
from simulation.engine import Request
from simulation.gateway import Gateway
from simulation.placement import HoldBack
from simulation.policies.planned import Planned
from simulation.replay import Replayed, replay
from simulation.service import ServiceModel, SwapTimes
from simulation.setting import Assumptions
from simulation.trace import Trace

REPLAYS = 9
_SEED = 5
_ARRIVALS_DIFFER_S = 0.02


def predictions(samples: CalibrationSamples, fleet: Fleet, assumed: Assumptions) -> list[Replayed]:
    """Replays of the trace: as it was sent first, then with arrivals a little off."""
    choice = np.random.default_rng(_SEED)
    trace = _sent(samples, fleet)
    replays = [predict(trace, fleet, assumed)]
    for _ in range(REPLAYS - 1):
        off_s = choice.uniform(-_ARRIVALS_DIFFER_S, _ARRIVALS_DIFFER_S, len(trace))
        replays.append(predict(_shifted(trace, off_s), fleet, assumed))
    return replays


def predict(trace: Trace, fleet: Fleet, assumed: Assumptions) -> Replayed:
    """What the simulator says of a trace under the fleet's own planner."""
    service = ServiceModel(
        step_s=assumed.step_s,
        token_s=assumed.token_s,
        prefill_token_s=assumed.prefill_token_s,
        chunk_tokens=assumed.chunk_tokens,
        slots=assumed.slots,
    )
    sharing = fleet.allocation.time_sharing
    patience = patience_s(assumed.ttft_s, assumed.swap_asleep_s)
    cluster = Cluster(
        [service] * len(trace.models),
        len(fleet.hosts),
        room=assumed.models_in_host_memory,
        swap_times=SwapTimes(assumed.swap_asleep_s, assumed.swap_disk_s),
        batch_cap=[max(1, service.largest_batch(assumed.tpot_s))] * len(trace.models),
        hold_back=HoldBack(patience, assumed.ttft_s) if sharing else None,
    )
    gateway = Gateway(trace.models, ttft_s=assumed.ttft_s) if sharing else None
    planned = Planned(fleet, reaction_s=assumed.reaction_s)
    return replay(trace, cluster, planned, gateway=gateway, cores=assumed.shared_cores)


def as_answered(request: Request, fleet: Fleet) -> Answered:
    """A simulated request in the form of a real one."""
    return Answered(
        arrived_s=request.arrived_at,
        model=fleet.models[request.model].name,
        batch=request.batch,
        prompt_tokens=request.input_tokens,
        output_tokens=request.output_tokens,
        ttft_s=request.ttft_s,
        tpot_s=request.tpot_s,
        ended_s=request.ended_at,
    )


def _shifted(trace: Trace, off_s: NDArray[np.float64]) -> Trace:
    """The same requests, each so much later, in the order in which they then come."""
    arrival_s = np.maximum(0.0, trace.arrival_s + off_s)
    order = np.argsort(arrival_s, kind="stable")
    return Trace(
        models=trace.models,
        arrival_s=arrival_s[order],
        model=trace.model[order],
        input_tokens=trace.input_tokens[order],
        output_tokens=trace.output_tokens[order],
        batch=trace.batch[order],
    )


def _sent(samples: CalibrationSamples, fleet: Fleet) -> Trace:
    """The requests with the lengths and times they really had."""
    requests = sorted(samples.answered, key=lambda each: each.arrived_s)
    names = [model.name for model in fleet.models]
    return Trace(
        models=names,
        arrival_s=np.array([each.arrived_s for each in requests]),
        model=np.array([names.index(each.model) for each in requests]),
        input_tokens=np.array([each.prompt_tokens for each in requests]),
        output_tokens=np.array([each.output_tokens for each in requests]),
        batch=np.array([each.batch for each in requests]),
    )
