"""Trunks: one answer of a host that carries the frames of all of this gateway's streams there.

With it a step of an engine comes in one read, however many streams it made tokens for. It is opened
beside the first requests and never waited for: without one, frames come in the answer to each
request. The requests themselves are `serving.gateway.streams`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from uuid import uuid4

import aiohttp

from serving.config import HostSettings
from serving.errors import HostUnreachable, WireError
from serving.gateway.pool import unreachable
from serving.wire import WIRE_HEADER, Frame, Parcel, ParcelDecoder, check_wire_version

CONNECT_WITHIN_S = 5.0
AGAIN_AFTER_S = 2.0
"""How long to do without one that has ended."""


class TrunkStream:
    """One stream on a trunk: what has come for it and was not taken yet."""

    def __init__(self, name: str) -> None:
        self.name = name
        """How host and gateway call it: `TRUNK/NUMBER`."""
        self._frames: list[Frame] = []
        self._moved = asyncio.Event()
        self._over = False
        self._broken: HostUnreachable | WireError | None = None

    def put(self, frame: Frame | None) -> None:
        """A frame came, or the end."""
        if frame is None:
            self._over = True
        else:
            self._frames.append(frame)
        self._moved.set()

    def break_off(self, error: HostUnreachable | WireError) -> None:
        """Nothing comes any more, for this reason."""
        self._over, self._broken = True, error
        self._moved.set()

    async def portions(self) -> AsyncIterator[list[Frame]]:
        """Frames in the portions in which they come. Raises what broke the trunk, after them."""
        while self._frames or not self._over:
            await self._moved.wait()
            self._moved.clear()
            frames, self._frames = self._frames, []
            if frames:
                yield frames
        if self._broken is not None:
            raise self._broken


class Trunk:
    """One trunk, from asking for it to its end."""

    def __init__(self, host: HostSettings) -> None:
        self.name = uuid4().hex
        self.is_open = False
        self.ended_at: float | None = None
        self._host, self._numbers = host, count(1)
        self._streams: dict[int, TrunkStream] = {}

    @contextmanager
    def stream(self) -> Iterator[TrunkStream]:
        """A stream, from before its request is sent until nothing of it is wanted."""
        number = next(self._numbers)
        stream = self._streams[number] = TrunkStream(f"{self.name}/{number}")
        try:
            yield stream
        finally:
            self._streams.pop(number, None)

    async def carry(self, session: aiohttp.ClientSession, headers: Mapping[str, str]) -> None:
        """Hand out what comes until nothing more does; then all its streams are broken off."""
        host, peer = self._host, f"engine host {self._host.name}"
        why: HostUnreachable | WireError = unreachable(host, "its trunk ended")
        try:
            async with session.post(
                f"http://{host.address}:{host.port}/trunks/{self.name}",
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN_S),
            ) as response:
                if response.status == 200:
                    check_wire_version(response.headers.get(WIRE_HEADER), peer=peer)
                    await self._read(response, peer)
        except (aiohttp.ClientError, OSError) as error:
            why = unreachable(host, str(error) or type(error).__name__)
        except WireError as error:
            why = error
        finally:
            self.is_open, self.ended_at = False, time.monotonic()
            for stream in self._streams.values():
                stream.break_off(why)

    async def _read(self, response: aiohttp.ClientResponse, peer: str) -> None:
        self.is_open = True
        decoder = ParcelDecoder(peer=peer)
        async for data in response.content.iter_any():
            for parcel in decoder.feed(data):
                self._hand_out(parcel)

    def _hand_out(self, parcel: Parcel) -> None:
        for number, frame in parcel:
            stream = self._streams.get(number)
            if stream is not None:
                stream.put(frame)


class Trunks:
    """The trunks of this gateway, at most one that counts to each host."""

    def __init__(self, session: aiohttp.ClientSession, headers: Mapping[str, str]) -> None:
        self._session, self._headers = session, headers
        self._trunks: dict[str, Trunk] = {}
        self._carrying: set[asyncio.Task[None]] = set()

    def to(self, host: HostSettings) -> Trunk | None:
        """The open trunk to `host`; None, and one is asked for, as long as there is none."""
        trunk = self._trunks.get(host.name)
        if trunk is not None and trunk.is_open:
            return trunk
        ended_at = None if trunk is None else trunk.ended_at
        if trunk is None or (ended_at and time.monotonic() - ended_at > AGAIN_AFTER_S):
            trunk = self._trunks[host.name] = Trunk(host)
            task = asyncio.create_task(trunk.carry(self._session, self._headers))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)
        return None

    def unknown(self, host: HostSettings, trunk: Trunk) -> None:
        """The host does not know this trunk: it has been started again, or lost it."""
        if self._trunks.get(host.name) is trunk:
            del self._trunks[host.name]

    async def aclose(self) -> None:
        """End them all."""
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
