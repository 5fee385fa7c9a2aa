"""A generation's stream of frames on this host, and the pump that fills it from the engine."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from serving.engine.decisions.events import StreamEnded, Submitted, Terminal
from serving.engine.protocol import EngineOutput, RequestRefused
from serving.errors import HostError
from serving.wire import Failed, Finished, Frame, GenerateRequest

log = structlog.get_logger(__name__)


Outlet = Callable[[Frame | None], None]
"""Takes the frames of one stream in order, then None."""


@dataclass
class GenerationStream:
    """Frames of one generation in order; the last one is its terminal frame."""

    key: str
    request: GenerateRequest
    put: Outlet
    """Where its frames go."""
    output_tokens: int = 0
    pump: asyncio.Task[Finished | Failed | None] | None = None

    def close(self, frame: Terminal | None) -> None:
        """End the stream with `frame`, or without one if nobody listens."""
        if frame is not None:
            self.put(frame)
        self.put(None)


class FrameQueue:
    """The frames of a stream that has an answer of its own."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()

    def put(self, frame: Frame | None) -> None:
        """The stream's outlet."""
        self._frames.put_nowait(frame)

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while (frame := await self._frames.get()) is not None:
            yield frame


def submitted(stream: GenerationStream) -> Submitted:
    """The event that a new generation is."""
    request = stream.request
    return Submitted(
        stream.key,
        request.model,
        request.request_class,
        request.evictable,
        len(request.prompt_token_ids) + len(request.resumed_token_ids),
        account=request.account,
        weight=request.weight,
        remaining_tokens=max(0, request.sampling.max_tokens - len(request.resumed_token_ids)),
        resumed=bool(request.resumed_token_ids),
        deadline_s=request.deadline_s,
        evictions=request.evictions,
    )


async def pump(
    stream: GenerationStream,
    outputs: Callable[[], AsyncIterator[EngineOutput]],
    progressed: Callable[[str, int], None],
) -> Finished | Failed | None:
    """Move the engine's tokens into the stream and report progress; return how it ended.

    Cancelling it aborts the generation on the engine. The terminal frame is not sent from here:
    it is the owner's to send.
    """
    try:
        async with aclosing(outputs()) as engine_stream:  # type: ignore[type-var] # a generator
            async for output in engine_stream:
                if isinstance(output, Finished):
                    return output
                stream.output_tokens += len(output.token_ids)
                stream.put(output)
                progressed(stream.key, len(output.token_ids))
    except HostError as error:
        return Failed(str(error), retryable=not isinstance(error, RequestRefused))
    except Exception as error:
        # Whatever an engine raises must end this generation, and this one alone.
        log.exception("generation failed", request_id=stream.request.request_id)
        return Failed(f"{type(error).__name__}: {error}", retryable=True)
    return None


def ending(key: str, pumped: asyncio.Task[Finished | Failed | None]) -> StreamEnded:
    """The one event that a pump's end is: halted if it was cancelled, even before it began."""
    return StreamEnded(key, None if pumped.cancelled() else pumped.result())
