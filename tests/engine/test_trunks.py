"""On a trunk the frames of many streams come in one answer; what a stream is stays the same."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import msgspec
import pytest

from serving.config import StateFolder
from serving.engine.trunks import Trunk, TrunkPlace, Trunks
from serving.wire import (
    TRUNK_HEADER,
    WIRE_HEADER,
    WIRE_VERSION,
    Admitted,
    Finished,
    Frame,
    HandedBack,
    Held,
    Parcel,
    ParcelDecoder,
    Released,
    Tokens,
)
from tests.fakes.engine import expected_tokens
from tests.fakes.generate import generate_request
from tests.fakes.host import LIMIT_S, FakeHost, fake_fleet, running_host, wait_until

# ---------------------------------------------------------------- by itself


async def parcels(source: AsyncIterator[bytes]) -> list[Parcel]:
    decoder = ParcelDecoder(peer="test")
    return [parcel async for data in source for parcel in decoder.feed(data)]


def test_what_was_put_before_it_is_read_leaves_in_one_parcel_in_order() -> None:
    async def scenario() -> None:
        trunk = Trunk()
        first, second = trunk.place(1), trunk.place(2)
        for place in (first, second, first):
            place.put(Held())
        for place in (first, second):
            place.put(None)
        trunk.end()
        expected = [(1, Held()), (2, Held()), (1, Held()), (1, None), (2, None)]
        assert await parcels(trunk.parcels()) == [expected]

    asyncio.run(scenario())


def test_it_ends_with_its_last_stream_and_not_before() -> None:
    async def scenario() -> None:
        trunk = Trunk()
        place = trunk.place(1)
        reading = asyncio.create_task(parcels(trunk.parcels()))
        trunk.end()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not reading.done()
        place.put(Released())
        place.put(None)
        sent = [entry for parcel in await reading for entry in parcel]
        assert sent == [(1, Released()), (1, None)]
        assert place.over.is_set()

    asyncio.run(scenario())


def test_on_one_that_breaks_every_stream_is_over() -> None:
    async def scenario() -> None:
        trunks = Trunks()
        source = trunks.parcels("t")
        reading = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0)
        places = [trunks.place("t/1"), trunks.place("t/2")]
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert [isinstance(p, TrunkPlace) and p.over.is_set() for p in places] == [True, True]
        assert trunks.place("t/3") is None

    asyncio.run(scenario())


@pytest.mark.parametrize("asked", [None, "", "t", "t/", "t/x", "t/-1", "other/1", "/1"])
def test_there_is_no_place_but_on_a_trunk_that_is_open(asked: str | None) -> None:
    async def scenario() -> None:
        trunks = Trunks()
        reading = asyncio.ensure_future(anext(trunks.parcels("t")))
        await asyncio.sleep(0)
        assert trunks.place(asked) is None
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    asyncio.run(scenario())


# ---------------------------------------------------------------- of a host


class TrunkReader:
    """Reads a trunk of a host in the background."""

    def __init__(self, host: FakeHost, name: str) -> None:
        self.came: list[tuple[int, Frame | None]] = []
        self.is_open, self.ended = False, False
        self._host, self._name = host, name
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        wait_until(lambda: self.is_open)

    def _read(self) -> None:
        decoder = ParcelDecoder(peer="host")
        url = f"{self._host.url}/trunks/{self._name}"
        with (
            suppress(httpx.TransportError),  # a test's end kills the host
            httpx.stream("POST", url, timeout=LIMIT_S, headers=headers(self._host)) as answer,
        ):
            self.is_open = answer.status_code == 200
            for data in answer.iter_raw():
                for parcel in decoder.feed(data):
                    self.came += parcel
            self.ended = True

    def of(self, number: int) -> list[Frame | None]:
        return [frame for of, frame in list(self.came) if of == number]


def headers(host: FakeHost) -> dict[str, str]:
    return {"Authorization": f"Bearer {host.token}", WIRE_HEADER: str(WIRE_VERSION)}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FakeHost]:
    fleet = fake_fleet(["a"], {"host-0": "a"})
    with running_host(fleet, StateFolder(tmp_path), "host-0") as running:
        yield running


@contextmanager
def asked(host: FakeHost, place: str, *, max_tokens: int = 3) -> Iterator[httpx.Response]:
    """A generation whose frames are to come at `place`."""
    request = generate_request("r", "a", prompt=[7], max_tokens=max_tokens)
    with httpx.stream(
        "POST",
        f"{host.url}/generate",
        timeout=LIMIT_S,
        content=msgspec.msgpack.encode(request),
        headers=headers(host) | {TRUNK_HEADER: place},
    ) as answer:
        yield answer


def test_frames_come_by_the_trunk_and_the_answer_ends_empty_with_the_stream(host: FakeHost) -> None:
    trunk = TrunkReader(host, "t")
    with asked(host, "t/5") as answer:
        assert answer.headers[TRUNK_HEADER] == "t/5"
        assert answer.read() == b""
    wait_until(lambda: None in trunk.of(5))
    first, *tokens, last, end = trunk.of(5)
    assert isinstance(first, Admitted)
    assert last == Finished("length")
    assert end is None
    came = [token for f in tokens if isinstance(f, Tokens) for token in f.token_ids]
    assert came == expected_tokens("a", [7], 3)


def test_without_such_a_trunk_frames_come_in_the_answer(host: FakeHost) -> None:
    with asked(host, "none/1") as answer:
        assert TRUNK_HEADER not in answer.headers
        assert answer.read()


def test_closing_the_answer_gives_the_slot_back(host: FakeHost) -> None:
    host.engines.gate.close()
    trunk = TrunkReader(host, "t")
    with asked(host, "t/1"):
        wait_until(lambda: bool(trunk.of(1)))
    wait_until(lambda: None in trunk.of(1))
    assert not any(isinstance(frame, Finished) for frame in trunk.of(1))


def test_a_host_that_stops_hands_back_by_the_trunk_and_ends_it(host: FakeHost) -> None:
    host.engines.gate.close()
    trunk = TrunkReader(host, "t")
    with asked(host, "t/1") as answer:
        wait_until(lambda: bool(trunk.of(1)))
        host.stop()
        assert answer.read() == b""
    wait_until(lambda: trunk.ended)
    assert trunk.of(1)[-2:] == [HandedBack("shutdown"), None]
