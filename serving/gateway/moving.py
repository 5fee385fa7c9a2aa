"""When a held generation is better taken to another replica than left where it is.

The choice is the ski-rental problem: waiting costs time as it passes, moving costs a prefill at
once, and nobody knows how long the wait will be. The prefill delays the generation itself and
everyone it then computes beside. To wait until as much time is lost by waiting, and then to move,
never costs more than twice what knowing would (Karlin, Manasse, Rudolph, Sleator 1988).
Which replica has a slot is `serving.gateway.placement`'s question.
"""

from collections import defaultdict

HELD_GRACE_S = 0.25
"""However little there is to recompute: most holds of a short burst end by themselves."""
PRIOR_PREFILL_TOKENS_PER_S = 1000.0
"""Until a prefill of the model was seen."""
PROMPT_TOKENS_PER_OUTPUT_TOKEN = 20
"""So many prompt tokens cost an engine about as much as one output token."""
_LEAST_TOKENS = 64
"""A shorter prefill takes one step of the engine and says nothing about its speed."""
_WEIGHT = 0.2
"""Of the newest prefill, in the average."""
_FORGETTING = 0.98
"""What the fastest prefill still counts when the next one comes."""


class PrefillRates:
    """How fast each model's prompts were prefilled lately, beside whatever else ran."""

    def __init__(self) -> None:
        self._tokens_per_s = defaultdict[str, float](lambda: PRIOR_PREFILL_TOKENS_PER_S)
        self._fastest: dict[str, float] = {}

    def seen(self, model: str, tokens: int, seconds: float) -> None:
        """An attempt computed `tokens` of prompt in `seconds` before its first token."""
        if tokens >= _LEAST_TOKENS and seconds > 0:
            old = self._tokens_per_s[model]
            self._tokens_per_s[model] = old + _WEIGHT * (tokens / seconds - old)
            kept = _FORGETTING * self._fastest.get(model, 0.0)
            self._fastest[model] = max(tokens / seconds, kept)

    def tokens_per_s(self, model: str) -> float:
        """The average."""
        return self._tokens_per_s[model]

    def fastest_tokens_per_s(self, model: str) -> float | None:
        """Of a prompt that had the engine about to itself; None: none was seen."""
        return self._fastest.get(model)


def patience_s(
    *,
    kept_tokens: int,
    prefill_tokens_per_s: float,
    beside: int,
    grace_s: float = HELD_GRACE_S,
) -> float:
    """How long a generation is held before it may move to where `beside` others compute.

    `kept_tokens` would be computed again there.
    """
    return max(grace_s, (1 + beside) * kept_tokens / prefill_tokens_per_s)


def worth_moving(*, kept_tokens: int, left_tokens: int) -> bool:
    """Whether what is computed again costs less than what is left to generate."""
    return kept_tokens < PROMPT_TOKENS_PER_OUTPUT_TOKEN * left_tokens
