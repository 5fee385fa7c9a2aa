"""vLLM's sampling parameters as the wire's, or a refusal that names what cannot be carried.

Text-level settings (stop strings, detokenization, the form of the output) stay in the gateway.
"""

import json

from vllm.sampling_params import SamplingParams, StructuredOutputsParams

from serving.gateway.failures import parameter_refused
from serving.wire import SamplingSpec, StructuredSpec

_NOT_CARRIED = {
    "logprob_token_ids": "the fleet returns the most likely tokens only",
    "prompt_logprob_token_ids": "the fleet returns the most likely tokens only",
    "prompt_logprob_start": "the fleet returns the most likely tokens only",
    "thinking_token_budget": "engines of the fleet do not count thinking tokens",
    "repetition_detection": "it is not part of the wire schema",
    "trace_decode_token_ids": "it is a debugging aid of a single engine",
    "extra_args": "vllm_xargs and transfer parameters are meant for a single engine",
    "routed_experts_prompt_start": "it is a debugging aid of a single engine",
}


def sampling_spec(params: SamplingParams) -> SamplingSpec:
    """What an engine host needs of `params`, which vLLM has already completed and checked."""
    for name, why in _NOT_CARRIED.items():
        if getattr(params, name):
            raise parameter_refused(name, why)
    return SamplingSpec(
        max_tokens=params.max_tokens,
        min_tokens=params.min_tokens,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=max(0, params.top_k),
        min_p=params.min_p,
        seed=params.seed,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        repetition_penalty=params.repetition_penalty,
        stop_token_ids=list(params.stop_token_ids or []),
        eos_token_id=params._eos_token_id,  # noqa: SLF001 - public name says nothing before it is set
        ignore_eos=params.ignore_eos,
        logprobs=params.logprobs,
        prompt_logprobs=params.prompt_logprobs,
        logit_bias=params.logit_bias or None,
        allowed_token_ids=params.allowed_token_ids,
        bad_words=list(params.bad_words) or None,
        structured=_structured(params.structured_outputs),
    )


def _structured(params: StructuredOutputsParams | None) -> StructuredSpec | None:
    if params is None or params.all_constraints_none():
        return None
    schema = params.json
    return StructuredSpec(
        json=schema if schema is None or isinstance(schema, str) else json.dumps(schema),
        regex=params.regex,
        choice=None if params.choice is None else list(params.choice),
        grammar=params.grammar,
        json_object=params.json_object,
        structural_tag=params.structural_tag,
        disable_any_whitespace=params.disable_any_whitespace,
        disable_additional_properties=params.disable_additional_properties,
        whitespace_pattern=params.whitespace_pattern,
    )
