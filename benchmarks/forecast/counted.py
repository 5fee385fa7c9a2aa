"""A trace, counted into buckets by the meter that the simulator uses."""

import heapq

from analytics.forecast import LoadBucket
from analytics.forecast.meter import LoadMeter
from simulation.setting import Assumptions
from simulation.trace import Trace


def buckets_of(trace: Trace) -> tuple[list[LoadBucket], list[LoadBucket]]:
    """What a forecaster is told, and what truly arrived (tokens counted at arrival), in step.

    A flow is one model and one class; its number is that of the model, batch after interactive.
    """
    assumed = Assumptions()
    flows = 2 * len(trace.models)
    told, true = LoadMeter(flows, 0.0), LoadMeter(flows, 0.0)
    told_buckets: list[LoadBucket] = []
    true_buckets: list[LoadBucket] = []
    under_way: list[tuple[float, int, float]] = []
    columns = zip(
        trace.arrival_s.tolist(),
        (trace.model + len(trace.models) * trace.batch).tolist(),
        trace.input_tokens.tolist(),
        trace.output_tokens.tolist(),
        strict=True,
    )
    for at_s, flow, prompt, output in columns:
        while under_way and under_way[0][0] <= at_s:
            ended_s, ended_flow, tokens = heapq.heappop(under_way)
            told_buckets += told.close(ended_s)
            told.end(ended_flow, ended_s, tokens)
        told_buckets += told.close(at_s)
        true_buckets += true.close(at_s)
        told.arrive(flow, at_s)
        true.arrive(flow, at_s)
        true.end(flow, at_s, prompt + output)
        served_s = prompt * assumed.prefill_token_s + output * (assumed.step_s + assumed.token_s)
        heapq.heappush(under_way, (at_s + served_s, flow, float(prompt + output)))
    return told_buckets, true_buckets
