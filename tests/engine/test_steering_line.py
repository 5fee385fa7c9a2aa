"""Steering reaches an engine one message at a time, the latest last."""

import asyncio

from serving.engine.protocol import EngineFailed, Steering
from serving.engine.steering import SteeringLine


def holding(*keys: str) -> Steering:
    return Steering(frozenset(keys))


async def test_of_those_that_come_while_one_is_on_its_way_only_the_latest_is_sent() -> None:
    sent: list[Steering] = []
    arrived, second = asyncio.Event(), asyncio.Event()

    async def steer(_model: str, steering: Steering) -> None:
        sent.append(steering)
        if len(sent) == 2:
            second.set()
        await arrived.wait()

    line = SteeringLine(steer)
    line.send("a", holding("1"))
    await asyncio.sleep(0)
    line.send("a", holding("1", "2"))
    line.send("a", holding("3"))
    await asyncio.sleep(0)
    assert sent == [holding("1")]
    arrived.set()
    await asyncio.wait_for(second.wait(), 90)
    assert sent == [holding("1"), holding("3")]


async def test_an_engine_that_fails_to_take_it_is_told_the_next_one() -> None:
    sent: list[Steering] = []

    async def steer(_model: str, steering: Steering) -> None:
        sent.append(steering)
        if len(sent) == 1:
            raise EngineFailed("its process died", where="engine of a", fix="None.")

    line = SteeringLine(steer)
    for steering in (holding("1"), holding("2")):
        line.send("a", steering)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert sent == [holding("1"), holding("2")]
