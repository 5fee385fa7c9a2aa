"""The resume rule: what to do with a generation whose attempt ended before it was complete.

Pure. A generation is resumed from prompt and tokens where that gives the distribution an
undisturbed run would have had, and replayed from the prompt where it would not. README.md has
the rule as a table.
"""

from dataclasses import dataclass
from typing import Literal

from serving.wire import Finished, SamplingSpec

Kind = Literal["start", "resume", "start_over", "replay", "finished"]


@dataclass(frozen=True)
class Continuation:
    """How a generation goes on.

    `start`: there are no tokens. `resume`: send prompt and tokens. `start_over`: forget the tokens,
    nobody has seen them. `replay`: send the prompt alone; the tokens must come again.
    `finished`: it needs no engine any more, `end` says why.
    """

    kind: Kind
    end: Finished | None = None


def boundary_parameters(sampling: SamplingSpec) -> tuple[str, ...]:
    """The parameters that make prompt and output differ to an engine, so forbid a resume."""
    named = {
        "presence_penalty": sampling.presence_penalty != 0.0,
        "frequency_penalty": sampling.frequency_penalty != 0.0,
        "seed": sampling.seed is not None and sampling.temperature > 0.0,
        "structured output": sampling.structured is not None,
        "bad_words": bool(sampling.bad_words),
    }
    return tuple(name for name, present in named.items() if present)


def terminal_token_ids(sampling: SamplingSpec) -> frozenset[int]:
    """Tokens that end a generation when they are sampled."""
    ends = set(sampling.stop_token_ids)
    if sampling.eos_token_id is not None and not sampling.ignore_eos:
        ends.add(sampling.eos_token_id)
    return frozenset(ends)


def continuation(
    sampling: SamplingSpec,
    *,
    prompt_tokens: int,
    kept: list[int],
    streamed: bool,
    max_model_len: int,
) -> Continuation:
    """The next step of a generation with the tokens `kept`, `streamed` if a client saw them."""
    if not kept:
        return Continuation("start")
    end = _already_ended(sampling, prompt_tokens, kept, max_model_len)
    if end is not None:
        return Continuation("finished", end)
    if not boundary_parameters(sampling):
        return Continuation("resume")
    return Continuation("replay" if streamed else "start_over")


def _already_ended(
    sampling: SamplingSpec, prompt_tokens: int, kept: list[int], max_model_len: int
) -> Finished | None:
    """The host died between the last token and saying that it was the last."""
    last = kept[-1]
    if last in terminal_token_ids(sampling) and len(kept) >= sampling.min_tokens:
        return Finished("stop", None if last == sampling.eos_token_id else last)
    if len(kept) >= sampling.max_tokens or prompt_tokens + len(kept) >= max_model_len:
        return Finished("length")
    return None
