"""What the gateway costs: the same chats through it and straight from the stock server, in pairs.

The two of a pair follow each other at once, and who is first changes from pair to pair: what
disturbs a machine for longer than a request disturbs both.
"""

from benchmarks.chat import ask, prompt, run_load
from benchmarks.coserve.arms import Arms
from benchmarks.coserve.workload import SIZES
from benchmarks.streams import Endpoint

STREAMS = 32
_STREAM_TOKENS = 128
"""Long enough for prompts to be a small part: a host's engine computes them in shorter steps."""
_PAIRS = 32
"""Of single requests, a round."""
_WARM_PAIRS = 2
"""The first of them, not counted."""
_SINGLE_TOKENS = 2


def measure_cost(arms: Arms, number: int) -> None:
    """One round: pairs of single requests, then many streams at once on each."""
    instance, found = arms.instance, arms.samples.gateway
    ours = instance.awake(instance.fleets.sized(SIZES[0]).name)
    stock = instance.stock
    texts = [prompt(10_000 * (number + 1) + place) for place in range(_PAIRS + STREAMS)]
    added_s = [
        _added_ttft_s(ours, stock, text, ours_first=place % 2 == 0)
        for place, text in enumerate(texts[:_PAIRS])
    ]
    found.added_ttft_s += added_s[_WARM_PAIRS:]
    instance.wait_idle()
    sides = [(ours, found.tokens_per_s), (stock, found.stock_tokens_per_s)]
    for endpoint, rates in sides if number % 2 == 0 else sides[::-1]:
        load = run_load(
            endpoint.url,
            endpoint.model,
            texts[_PAIRS:],
            max_tokens=_STREAM_TOKENS,
            key=endpoint.key,
        )
        rates.append(load.tokens_per_s)
        instance.wait_idle()


def _added_ttft_s(ours: Endpoint, stock: Endpoint, text: str, *, ours_first: bool) -> float:
    ttft_s = {
        endpoint.url: ask(
            endpoint.url, endpoint.model, text, _SINGLE_TOKENS, key=endpoint.key
        ).ttft_s
        for endpoint in ((ours, stock) if ours_first else (stock, ours))
    }
    return ttft_s[ours.url] - ttft_s[stock.url]
