"""A generation's tokens on their way into text, by vLLM's output processor."""

from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest, FinishReason
from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector
from vllm.v1.engine.parallel_sampling import ParentRequest
from vllm.v1.metrics.stats import PrefillStats

from serving.gateway.adaptor.logprobs import prompt_logprobs, sample_logprobs
from serving.gateway.intake import Taken
from serving.wire import Finished, Tokens

_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "repetition": FinishReason.REPETITION,
}


class OutputSink:
    """The sink of one generation: its request in vLLM's output processor."""

    def __init__(
        self,
        processor: OutputProcessor,
        request: EngineCoreRequest,
        *,
        prompt: str | None,
        parent: ParentRequest | None,
        index: int,
        queue: RequestOutputCollector,
    ) -> None:
        self._processor, self._request = processor, request
        self._registration = (prompt, parent, index, queue)
        self._processor.add_request(request, *self._registration)

    def deliver(self, tokens: Tokens, finished: Finished | None) -> Taken:
        """Make text of new tokens; enough once a stop string was met, maybe before the last."""
        state = self._processor.request_states.get(self._request.request_id)
        if state is None:
            return Taken(enough=True, surplus_tokens=len(tokens.token_ids))
        before = state.detokenizer.num_output_tokens()
        processed = self._processor.process_outputs([self._output(tokens, finished)])
        used = state.detokenizer.num_output_tokens() - before
        return Taken(bool(processed.reqs_to_abort), len(tokens.token_ids) - used)

    def start_over(self) -> None:
        """Forget all tokens: the request begins anew in the output processor."""
        self._forget()
        self._processor.add_request(self._request, *self._registration)

    def close(self) -> None:
        """Take the request out of the output processor, if it is still there."""
        self._forget()
        parent = self._registration[1]
        if parent is not None:
            self._processor.parent_requests.pop(parent.request_id, None)

    def _forget(self) -> None:
        state = self._processor.request_states.pop(self._request.request_id, None)
        if state is None:
            return
        siblings = self._processor.external_req_ids[state.external_req_id]
        siblings.remove(state.request_id)
        if not siblings:
            del self._processor.external_req_ids[state.external_req_id]

    def _output(self, tokens: Tokens, finished: Finished | None) -> EngineCoreOutput:
        params = self._request.sampling_params
        output = EngineCoreOutput(
            request_id=self._request.request_id, new_token_ids=list(tokens.token_ids)
        )
        if tokens.logprobs and params.logprobs is not None:
            output.new_logprobs = sample_logprobs(tokens.logprobs, params.logprobs)
        if tokens.prompt_logprobs and params.prompt_logprobs is not None:
            output.new_prompt_logprobs_tensors = prompt_logprobs(
                tokens.prompt_logprobs, params.prompt_logprobs
            )
        if tokens.cached_tokens is not None:
            output.prefill_stats = PrefillStats(num_cached_tokens=tokens.cached_tokens)
        if finished is not None:
            output.finish_reason = _REASONS[finished.reason]
            output.stop_reason = finished.stop_token_id
        return output
