"""The chat load both arms get, and waiting for a server's first token."""

import httpx

from benchmarks.chat import Answer, ask, prompt, run_load
from benchmarks.loop.samples import ChatSamples
from benchmarks.servers import Server, until
from benchmarks.setting import BenchmarkUnable

ANSWER_TOKENS = 64
SINGLE_REQUESTS = 6
STREAMS = 8
SIDE_BY_SIDE_TIMES = 2
START_LIMIT_S = 300.0
_WARM_UP = 1000


def first_answer(server: Server, url: str, model: str) -> Answer:
    """Ask until there is an answer: the first one a server that is starting gives."""

    def attempt() -> Answer | None:
        try:
            return ask(url, model, "Hello!", max_tokens=4)
        except httpx.HTTPStatusError as error:
            if error.response.is_client_error:
                raise _refused(url, error.response) from error
            return None
        except httpx.HTTPError:
            return None

    return until(attempt, f"a first token from {url}", limit_s=START_LIMIT_S, server=server)


def _refused(url: str, response: httpx.Response) -> BenchmarkUnable:
    return BenchmarkUnable(
        f"a plain chat request was refused with {response.status_code}: {response.text[:500]}",
        where=url,
        fix="Look at the server's log.",
    )


def chat_alone_and_side_by_side(url: str, model: str, samples: ChatSamples) -> None:
    """Warm up, one stream at a time, then several at a time."""
    warm_up = [prompt(_WARM_UP + number) for number in range(STREAMS)]
    run_load(url, model, warm_up, max_tokens=ANSWER_TOKENS)
    numbers = iter(range(_WARM_UP))
    for _ in range(SINGLE_REQUESTS):
        samples.single.append(ask(url, model, prompt(next(numbers)), ANSWER_TOKENS))
    for _ in range(SIDE_BY_SIDE_TIMES):
        texts = [prompt(next(numbers)) for _ in range(STREAMS)]
        samples.side_by_side.append(run_load(url, model, texts, max_tokens=ANSWER_TOKENS))
