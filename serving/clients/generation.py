"""Generating on one engine host directly, many generations side by side: for measuring.

Asynchronous, unlike the other clients here: what is measured is time, and a thread a stream would
take the engine's own. Users' requests go through the gateway.
"""

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self

import aiohttp
import msgspec

from serving.errors import HostError, HostUnreachable
from serving.wire import (
    WIRE_HEADER,
    WIRE_VERSION,
    Frame,
    FrameDecoder,
    GenerateRequest,
    check_wire_version,
)

_CONNECT_S = 5.0


class GenerationClient:
    """Opens generation streams on one engine host; a context manager that owns the connections."""

    def __init__(self, address: str, port: int, token: str) -> None:
        self._where = f"engine host {address}:{port}"
        self._url = f"http://{address}:{port}/generate"
        self._headers = {"Authorization": f"Bearer {token}", WIRE_HEADER: str(WIRE_VERSION)}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def frames(self, request: GenerateRequest) -> AsyncGenerator[Frame, None]:
        """The generation's frames, as they come. Closing the iterator aborts the generation.

        Raises HostUnreachable when the connection fails or breaks, HostError when the host
        refuses, WireError when it speaks another wire version.
        """
        assert self._session is not None, "enter the client first"
        try:
            async with self._session.post(
                self._url, data=msgspec.msgpack.encode(request), headers=self._headers
            ) as answer:
                if not answer.ok:
                    raise self._refused(answer.status, await answer.text())
                check_wire_version(answer.headers.get(WIRE_HEADER), peer=self._where)
                decoder = FrameDecoder(peer=self._where)
                async for data in answer.content.iter_any():
                    for frame in decoder.feed(data):
                        yield frame
        except (aiohttp.ClientError, OSError) as error:
            raise HostUnreachable(
                str(error) or type(error).__name__,
                where=self._where,
                fix="See whether it runs: turntable status.",
            ) from error

    def _refused(self, status: int, text: str) -> HostError:
        return HostError(
            f"it answered {status}: {text[:200]}",
            where=self._where,
            fix="Check the address and the admin token.",
        )
