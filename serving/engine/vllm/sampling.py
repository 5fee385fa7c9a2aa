"""Wire types to vLLM's and back: sampling parameters, the prompt of a resume, log-probabilities."""

from collections.abc import Mapping, Sequence

from vllm.logprobs import Logprob
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

from serving.engine.vllm.steps import KEY_ARGUMENT
from serving.wire import GenerateRequest, StructuredSpec, TokenLogprobs


def sampling_params(key: str, request: GenerateRequest) -> SamplingParams:
    """What vLLM is asked for: the request's limits less what the generation already has.

    It carries `key` to the scheduler.
    """
    wanted, done = request.sampling, len(request.resumed_token_ids)
    return SamplingParams(
        max_tokens=wanted.max_tokens - done,
        min_tokens=max(0, wanted.min_tokens - done),
        temperature=wanted.temperature,
        top_p=wanted.top_p,
        top_k=wanted.top_k,
        min_p=wanted.min_p,
        seed=wanted.seed,
        presence_penalty=wanted.presence_penalty,
        frequency_penalty=wanted.frequency_penalty,
        repetition_penalty=wanted.repetition_penalty,
        stop_token_ids=list(wanted.stop_token_ids),
        ignore_eos=wanted.ignore_eos,
        logprobs=wanted.logprobs,
        prompt_logprobs=wanted.prompt_logprobs,
        logit_bias=wanted.logit_bias,
        allowed_token_ids=wanted.allowed_token_ids,
        bad_words=wanted.bad_words,
        structured_outputs=_structured(wanted.structured),
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        extra_args={KEY_ARGUMENT: key},
    )


def _structured(spec: StructuredSpec | None) -> StructuredOutputsParams | None:
    if spec is None:
        return None
    return StructuredOutputsParams(
        json=spec.json,
        regex=spec.regex,
        choice=spec.choice,
        grammar=spec.grammar,
        json_object=spec.json_object,
        structural_tag=spec.structural_tag,
        disable_any_whitespace=spec.disable_any_whitespace,
        disable_additional_properties=spec.disable_additional_properties,
        whitespace_pattern=spec.whitespace_pattern,
    )


def prompt_ids(request: GenerateRequest) -> list[int]:
    """What is prefilled: the prompt, then the tokens the generation already has."""
    return request.prompt_token_ids + request.resumed_token_ids


def token_logprobs(
    token_ids: Sequence[int], positions: Sequence[Mapping[int, Logprob]] | None
) -> list[TokenLogprobs] | None:
    """One entry for each of `token_ids`; None if none were asked for."""
    if positions is None:
        return None
    return [
        _position(token, position) for token, position in zip(token_ids, positions, strict=True)
    ]


def prompt_token_logprobs(
    prompt: Sequence[int], positions: Sequence[Mapping[int, Logprob] | None] | None
) -> list[TokenLogprobs | None] | None:
    """One entry for each prompt token, None for the first; what was resumed is left out."""
    if positions is None:
        return None
    return [
        None if position is None else _position(token, position)
        for token, position in zip(prompt, positions, strict=False)
    ]


def _position(token: int, found: Mapping[int, Logprob]) -> TokenLogprobs:
    others = sorted((entry.rank or 0, other) for other, entry in found.items() if other != token)
    ids = [token, *(other for _, other in others)]
    return TokenLogprobs(ids, [found[i].logprob for i in ids], found[token].rank or 0)
