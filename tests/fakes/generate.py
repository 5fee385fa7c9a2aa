"""A client of a host's data path for tests: sends a request, reads its frames in a thread."""

import socket
import threading
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from serving.wire import (
    WIRE_HEADER,
    WIRE_VERSION,
    Admitted,
    Frame,
    FrameDecoder,
    GenerateRequest,
    RequestClass,
    SamplingSpec,
    Tokens,
)
from tests.fakes.host import LIMIT_S, wait_until


def generate_request(
    request_id: str,
    model: str,
    *,
    prompt: list[int] | None = None,
    max_tokens: int = 8,
    request_class: RequestClass = "interactive",
    sampling: dict[str, Any] | None = None,
    **fields: Any,
) -> GenerateRequest:
    """A request with the usual fields filled in; greedy, of full length."""
    settings = {"max_tokens": max_tokens, "temperature": 0.0, "ignore_eos": True}
    return GenerateRequest(
        request_id=request_id,
        model=model,
        request_class=request_class,
        prompt_token_ids=prompt or [1, 2, 3],
        sampling=SamplingSpec(**(settings | (sampling or {}))),
        **fields,
    )


class Reader:
    """Reads one generation's frames in the background; `frames` grows as they come."""

    def __init__(self, url: str, token: str, request: GenerateRequest) -> None:
        self.frames: list[Frame] = []
        self.error: Exception | None = None
        self._url, self._token, self._request = url, token, request
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        decoder = FrameDecoder(peer=self._url)
        try:
            with httpx.stream(
                "POST",
                f"{self._url}/generate",
                timeout=LIMIT_S,
                content=msgspec.msgpack.encode(self._request),
                headers={
                    "Authorization": f"Bearer {self._token}",
                    WIRE_HEADER: str(WIRE_VERSION),
                },
            ) as answer:
                answer.raise_for_status()
                self._socket = answer.extensions["network_stream"].get_extra_info("socket")
                for data in answer.iter_raw():
                    self.frames += decoder.feed(data)
        except Exception as error:
            self.error = error

    @property
    def tokens(self) -> list[int]:
        """The output tokens so far."""
        return [token for f in self.frames if isinstance(f, Tokens) for token in f.token_ids]

    @property
    def admitted(self) -> bool:
        """Whether it has a slot, or had one."""
        return any(isinstance(frame, Admitted) for frame in self.frames)

    @property
    def ended(self) -> bool:
        """Whether no more frames come."""
        return not self._thread.is_alive()

    def until(self, condition: Callable[["Reader"], bool]) -> "Reader":
        """Wait until the condition holds of this reader."""
        wait_until(lambda: condition(self))
        return self

    def end(self) -> Frame:
        """Wait for the stream's end; its last frame."""
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "the stream did not end"
        assert self.error is None, self.error
        return self.frames[-1]

    def hang_up(self) -> None:
        """Close the connection as a client that goes away does."""
        assert self._socket is not None
        self._socket.shutdown(socket.SHUT_RDWR)
