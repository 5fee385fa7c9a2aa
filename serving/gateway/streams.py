"""The data path to an engine host: one HTTP request a generation's attempt, frames in return.

They come by the host's trunk if there is one (`serving.gateway.trunks`), else in the answer; the
attempt ends with the answer either way. Only transport: what the frames mean to a generation is
`serving.gateway.attempts`.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import aiohttp
import msgspec

from serving.config import HostSettings
from serving.gateway.pool import unreachable
from serving.gateway.trunks import CONNECT_WITHIN_S, Trunk, Trunks, TrunkStream
from serving.wire import (
    TRUNK_HEADER,
    WIRE_HEADER,
    WIRE_VERSION,
    Failed,
    Frame,
    FrameDecoder,
    GenerateRequest,
    HandedBack,
    check_wire_version,
)

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
        self.trunks = Trunks(session, self._headers)
        """By which frames come from the hosts that have opened theirs."""

    async def aclose(self) -> None:
        """End the trunks."""
        await self.trunks.aclose()

    @asynccontextmanager
    async def open(
        self, host: HostSettings, request: GenerateRequest
    ) -> AsyncIterator[AsyncIterator[list[Frame]]]:
        """Frames of `request` on `host`, in the portions in which they arrive.

        Leaving the block early aborts the request on the host. Raises HostUnreachable when the
        connection fails or breaks, WireError when the peer does not speak this wire version.
        """
        trunk = self.trunks.to(host)
        with trunk.stream() if trunk is not None else nullcontext() as stream:
            try:
                async with self._asked(host, request, stream) as response:
                    yield await self._frames(host, response, trunk, stream)
            except (aiohttp.ClientError, OSError) as error:
                raise unreachable(host, str(error) or type(error).__name__) from error

    def _asked(
        self, host: HostSettings, request: GenerateRequest, stream: TrunkStream | None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        by_trunk = {} if stream is None else {TRUNK_HEADER: stream.name}
        return self._session.post(
            f"http://{host.address}:{host.port}/generate",
            data=_encoder.encode(request),
            headers=self._headers | by_trunk,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN_S),
        )

    async def _frames(
        self,
        host: HostSettings,
        response: aiohttp.ClientResponse,
        trunk: Trunk | None,
        stream: TrunkStream | None,
    ) -> AsyncIterator[list[Frame]]:
        if response.status != 200:
            return _once(await _refusal(response))
        peer = f"engine host {host.name}"
        check_wire_version(response.headers.get(WIRE_HEADER), peer=peer)
        if trunk is None or stream is None:
            return _portions(response, peer)
        if response.headers.get(TRUNK_HEADER) == stream.name:
            return _by_trunk(response, stream)
        self.trunks.unknown(host, trunk)
        return _portions(response, peer)


async def _by_trunk(
    response: aiohttp.ClientResponse, stream: TrunkStream
) -> AsyncIterator[list[Frame]]:
    async for frames in stream.portions():
        yield frames
    await response.read()  # its end: the connection can be used again


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
