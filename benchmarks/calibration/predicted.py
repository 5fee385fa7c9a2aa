"""The same requests through the simulator. Pure."""

import numpy as np

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


def predict(samples: CalibrationSamples, fleet: Fleet, assumed: Assumptions) -> Replayed:
    """What the simulator says of the trace as it was sent, under the fleet's own planner."""
    trace = _sent(samples, fleet)
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
