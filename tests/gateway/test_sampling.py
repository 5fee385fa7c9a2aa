"""vLLM's sampling parameters and log-probabilities, to and from the wire."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vllm.logprobs import create_sample_logprobs
from vllm.sampling_params import RepetitionDetectionParams, SamplingParams, StructuredOutputsParams
from vllm.v1.engine.logprobs import LogprobsProcessor

from serving.gateway.adaptor.logprobs import prompt_logprobs, sample_logprobs, vllm_row
from serving.gateway.adaptor.sampling import sampling_spec
from serving.gateway.failures import RequestRefused
from serving.wire import SamplingSpec, TokenLogprobs

TEXT_LEVEL = {
    "n",
    "stop",
    "output_kind",
    "stream_interval",
    "detokenize",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "include_stop_str_in_output",
    "flat_logprobs",
    "skip_clone",
    "output_text_buffer_length",
}
"""Fields that the gateway obeys by itself."""
DERIVED = {"skip_reading_prefix_cache", "watermarking"}
"""Fields that the host's engine sets again from the others, or that mean nothing without one."""


def test_every_field_of_vllm_is_carried_obeyed_here_or_refused() -> None:
    from serving.gateway.adaptor.sampling import _NOT_CARRIED

    carried = {field.name for field in msgspec.structs.fields(SamplingSpec)}
    renamed = {"structured_outputs"}
    public = {f.name for f in msgspec.structs.fields(SamplingParams) if f.name[0] != "_"}

    assert public - carried - renamed - TEXT_LEVEL - DERIVED == set(_NOT_CARRIED)


@given(
    temperature=st.floats(0.1, 2.0),
    top_p=st.floats(0.1, 1.0),
    top_k=st.integers(-1, 50),
    seed=st.none() | st.integers(0, 2**31),
    max_tokens=st.integers(10, 99),
    min_tokens=st.integers(0, 10),
    stop_token_ids=st.lists(st.integers(0, 99), unique=True),
    logit_bias=st.none() | st.dictionaries(st.integers(0, 99), st.floats(-9, 9), min_size=1),
)
def test_what_is_carried_arrives_unchanged(**fields) -> None:
    spec = sampling_spec(SamplingParams(**fields))

    fields["top_k"] = max(0, fields["top_k"])
    assert {name: getattr(spec, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("extra_args", {"a": 1}),
        ("logprob_token_ids", [1, 2]),
        ("thinking_token_budget", 100),
        ("repetition_detection", RepetitionDetectionParams(5, 1, 3)),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(RequestRefused) as caught:
        sampling_spec(SamplingParams(**{name: value}))

    assert caught.value.refusal.param == name
    assert caught.value.refusal.status == 400


def test_a_json_schema_travels_as_text_and_other_constraints_as_they_are() -> None:
    for given_, expected in [
        ({"json": {"type": "object"}}, {"json": '{"type": "object"}'}),
        ({"regex": "a+"}, {"regex": "a+"}),
        ({"choice": ["yes", "no"]}, {"choice": ["yes", "no"]}),
        ({"json_object": True}, {"json_object": True}),
    ]:
        spec = sampling_spec(SamplingParams(structured_outputs=StructuredOutputsParams(**given_)))

        for name, value in expected.items():
            assert getattr(spec.structured, name) == value


@given(st.integers(0, 5), st.integers(1, 9))
def test_ranks_survive_the_wire_wherever_the_sampled_token_ranks(wanted: int, rank: int) -> None:
    likely = [100 + i for i in range(1, wanted + 1)]
    sampled = 100 + rank
    on_wire = [sampled, *(token for token in likely if token != sampled)]
    position = TokenLogprobs(on_wire, [-float(token) for token in on_wire], rank)

    ids, values = vllm_row(position, wanted)

    assert ids == [sampled, *likely]
    assert values == [-float(token) for token in ids]
    assert _through_vllm(position, wanted) == {
        **{token: place for place, token in enumerate(likely, start=1)},
        sampled: rank,
    }


def test_the_first_prompt_token_has_no_logprobs() -> None:
    assert prompt_logprobs([None], 1) is None
    tensors = prompt_logprobs([None, TokenLogprobs([7, 8], [-1.0, -2.0], 1)], 1)
    assert tensors.logprob_token_ids.tolist() == [[7, 8]]
    assert tensors.logprobs.tolist() == [[-1.0, -2.0]]


def _through_vllm(position: TokenLogprobs, wanted: int) -> dict[int, int]:
    """The ranks that vLLM tells a client."""
    processor = LogprobsProcessor(
        tokenizer=None,
        logprobs=create_sample_logprobs(False),
        prompt_logprobs=None,
        cumulative_logprob=0.0,
        num_logprobs=wanted,
        num_prompt_logprobs=None,
    )
    processor._update_sample_logprobs(sample_logprobs([position], wanted))
    return {token: entry.rank for token, entry in processor.logprobs[0].items()}
