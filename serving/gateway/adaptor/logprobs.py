"""The wire's log-probabilities in the shapes that vLLM's output processor takes."""

import numpy as np
import torch
from vllm.v1.outputs import LogprobsLists, LogprobsTensors

from serving.wire import TokenLogprobs


def sample_logprobs(positions: list[TokenLogprobs], wanted: int) -> LogprobsLists:
    """Logprobs of new tokens; `wanted` is the request's number of most likely ones."""
    rows = [vllm_row(position, wanted) for position in positions]
    return LogprobsLists(
        np.array([ids for ids, _ in rows]),
        np.array([values for _, values in rows]),
        np.array([position.rank for position in positions]),
    )


def prompt_logprobs(positions: list[TokenLogprobs | None], wanted: int) -> LogprobsTensors | None:
    """Logprobs of the prompt's tokens; the first token has none."""
    present = [position for position in positions if position is not None]
    if not present:
        return None
    rows = [vllm_row(position, wanted) for position in present]
    return LogprobsTensors(
        torch.tensor([ids for ids, _ in rows]),
        torch.tensor([values for _, values in rows]),
        torch.tensor([position.rank for position in present]),
    )


def vllm_row(position: TokenLogprobs, wanted: int) -> tuple[list[int], list[float]]:
    """One position as vLLM has it: the sampled token, then the most likely ones by rank.

    On the wire the sampled token stands once. If it is itself among the most likely, it must
    stand again in its place, or those after it would be given a rank too high.
    """
    ids, values = position.token_ids, position.logprobs
    most_likely = len(ids) if wanted == -1 else wanted
    if len(ids) > most_likely:
        return ids, values
    place = 1 + min(position.rank, most_likely) - 1
    return (
        [*ids[:1], *ids[1:place], ids[0], *ids[place:]],
        [*values[:1], *values[1:place], values[0], *values[place:]],
    )
