"""Trunks: one answer to a gateway that carries the frames of all its streams on this host.

A step of an engine makes a token for every stream at once. On a trunk they leave in one write and
come in one read; in an answer each they would take as many of both as there are streams. What a
stream is, and what ends it, is the same either way: `serving.engine.streams`.
"""

import asyncio
from collections.abc import AsyncIterator

from serving.wire import Frame, Parcel, encode_parcel


class TrunkPlace:
    """One stream on a trunk."""

    def __init__(self, trunk: "Trunk", number: int) -> None:
        self._trunk, self._number = trunk, number
        self.over = asyncio.Event()
        """Set when its last frame was put, or can reach nobody any more."""

    def put(self, frame: Frame | None) -> None:
        """The stream's outlet."""
        self._trunk.put(self._number, frame)
        if frame is None:
            self.over.set()


class Trunk:
    """Frames of many streams on their way into one answer."""

    def __init__(self) -> None:
        self._pending: Parcel = []
        self._moved = asyncio.Event()
        self._places: dict[int, TrunkPlace] = {}
        self._ending = False

    def place(self, number: int) -> TrunkPlace:
        """A place for the stream that the gateway gave this number."""
        place = self._places[number] = TrunkPlace(self, number)
        return place

    def put(self, number: int, frame: Frame | None) -> None:
        """Take a frame of a stream that has a place."""
        if number in self._places:
            self._pending.append((number, frame))
            self._moved.set()
        if frame is None:
            self._places.pop(number, None)

    def end(self) -> None:
        """No stream comes to it any more: it ends with the last one that is there."""
        self._ending = True
        self._moved.set()

    def broken(self) -> None:
        """Nobody reads it: whatever has a place on it is over."""
        places, self._places = self._places, {}
        for place in places.values():
            place.over.set()

    async def parcels(self) -> AsyncIterator[bytes]:
        """What has gathered since the last parcel, as soon as there is anything."""
        while self._pending or self._places or not self._ending:
            await self._moved.wait()
            self._moved.clear()
            if self._pending:
                parcel, self._pending = self._pending, []
                yield encode_parcel(parcel)


class Trunks:
    """The trunks of this host, by the names that gateways gave them."""

    def __init__(self) -> None:
        self._trunks: dict[str, Trunk] = {}
        self._ending = False

    def place(self, asked: str | None) -> TrunkPlace | None:
        """The place asked for (`TRUNK/NUMBER`); None where there is no such trunk."""
        name, _, number = (asked or "").rpartition("/")
        trunk = self._trunks.get(name)
        if trunk is None or self._ending or not number.isdecimal():
            return None
        return trunk.place(int(number))

    async def parcels(self, name: str) -> AsyncIterator[bytes]:
        """A trunk, open for as long as this is read."""
        trunk = self._trunks[name] = Trunk()
        if self._ending:
            trunk.end()
        try:
            async for parcel in trunk.parcels():
                yield parcel
        finally:
            trunk.broken()
            if self._trunks.get(name) is trunk:
                del self._trunks[name]

    def end(self) -> None:
        """The host stops: each trunk ends with its last stream."""
        self._ending = True
        for trunk in self._trunks.values():
            trunk.end()
