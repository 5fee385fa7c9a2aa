"""The data path to an engine host: one HTTP response a generation's attempt, frames out of it.

Only transport: what the frames mean to a generation is `serving.gateway.attempts`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from serving.config import HostSettings
from serving.gateway.pool import unreachable
from serving.wire import (
    WIRE_HEADER,
    WIRE_VERSION,
    Failed,
    Frame,
    FrameDecoder,
    GenerateRequest,
    HandedBack,
    check_wire_version,
)

CONNECT_WITHIN_S = 5.0
_encoder = msgspec.msgpack.Encoder()


class HostStreams:
    """Opens generation streams on engine hosts."""

    def __init__(self, session: aiohttp.ClientSession, token: str) -> None:
        self._session = session
        self._headers = {
            "Authorization": f"Bearer {token}",
            WIRE_HEADER: str(WIRE_VERSION),
            "Content-Type": "application/msgpack",
        }

    @asynccontextmanager
    async def open(
        self, host: HostSettings, request: GenerateRequest
    ) -> AsyncIterator[AsyncIterator[list[Frame]]]:
        """Frames of `request` on `host`, in the portions in which they arrive.

        Leaving the block early aborts the request on the host. Raises HostUnreachable when the
        connection fails or breaks, WireError when the peer does not speak this wire version.
        """
        peer = f"engine host {host.name}"
        try:
            async with self._session.post(
                f"http://{host.address}:{host.port}/generate",
                data=_encoder.encode(request),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN_S),
            ) as response:
                if response.status != 200:
                    yield _once(await _refusal(response))
                    return
                check_wire_version(response.headers.get(WIRE_HEADER), peer=peer)
                yield _portions(response, peer)
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(host, str(error) or type(error).__name__) from error


async def _portions(response: aiohttp.ClientResponse, peer: str) -> AsyncIterator[list[Frame]]:
    decoder = FrameDecoder(peer=peer)
    async for data in response.content.iter_any():
        if frames := list(decoder.feed(data)):
            yield frames


async def _once(frame: Frame) -> AsyncIterator[list[Frame]]:
    yield [frame]


async def _refusal(response: aiohttp.ClientResponse) -> Frame:
    """A refused request as the frame that says the same."""
    if response.status in {409, 503}:
        return HandedBack("not_awake")
    text = (await response.text())[:500]
    return Failed(f"HTTP {response.status}: {text}", retryable=True)
