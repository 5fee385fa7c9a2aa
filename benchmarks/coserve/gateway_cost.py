"""What the gateway costs: the same chats through it and straight from the stock server."""

from benchmarks.chat import ask, prompt, run_load
from benchmarks.coserve.arms import Arms
from benchmarks.coserve.workload import SIZES

STREAMS = 32
_STREAM_TOKENS = 64
_SINGLE = 8
"""A round, to each."""
_SINGLE_TOKENS = 4


def measure_cost(arms: Arms, number: int) -> None:
    """One round: single requests in turn, then many streams at once on each."""
    instance, samples = arms.instance, arms.samples
    ours = instance.awake(instance.fleets.sized(SIZES[0]).name)
    sides = [(ours, samples.gateway), (instance.stock, samples.stock_server)]
    sides = sides if number % 2 == 0 else sides[::-1]
    texts = [prompt(10_000 * (number + 1) + place) for place in range(_SINGLE + STREAMS)]
    for text in texts[:_SINGLE]:
        for endpoint, found in sides:
            answer = ask(endpoint.url, endpoint.model, text, _SINGLE_TOKENS)
            found.single_ttft_s.append(answer.ttft_s)
    for endpoint, found in sides:
        load = run_load(endpoint.url, endpoint.model, texts[_SINGLE:], max_tokens=_STREAM_TOKENS)
        found.side_by_side.append(load)
        instance.wait_idle()
