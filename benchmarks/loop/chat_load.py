"""The chat load both arms get."""

from benchmarks.chat import ask, prompt, run_load
from benchmarks.loop.samples import ChatSamples

ANSWER_TOKENS = 64
SINGLE_REQUESTS = 6
STREAMS = 8
SIDE_BY_SIDE_TIMES = 2
_WARM_UP = 1000


def chat_alone_and_side_by_side(
    url: str, model: str, samples: ChatSamples, *, key: str | None = None
) -> None:
    """Warm up, one stream at a time, then several at a time."""
    warm_up = [prompt(_WARM_UP + number) for number in range(STREAMS)]
    run_load(url, model, warm_up, max_tokens=ANSWER_TOKENS, key=key)
    numbers = iter(range(_WARM_UP))
    for _ in range(SINGLE_REQUESTS):
        samples.single.append(ask(url, model, prompt(next(numbers)), ANSWER_TOKENS, key=key))
    for _ in range(SIDE_BY_SIDE_TIMES):
        texts = [prompt(next(numbers)) for _ in range(STREAMS)]
        samples.side_by_side.append(run_load(url, model, texts, max_tokens=ANSWER_TOKENS, key=key))
