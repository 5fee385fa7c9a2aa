"""Waiting for the first token of a server that is starting."""

import httpx

from benchmarks.chat import Answer, ask
from benchmarks.servers import Server, until
from benchmarks.setting import BenchmarkUnable

START_LIMIT_S = 300.0


def first_answer(server: Server, url: str, model: str, *, key: str | None = None) -> Answer:
    """Ask until there is an answer: the first one a server that is starting gives."""

    def attempt() -> Answer | None:
        try:
            return ask(url, model, "Hello!", max_tokens=4, key=key)
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
