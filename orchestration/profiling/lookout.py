"""Looking for work of others on an engine that is being measured."""

import asyncio
import time

from orchestration.errors import Disturbed, ProfileError
from serving.clients.host import HostClient
from serving.wire import HostState

LOOK_EVERY_S = 0.2


class Lookout:
    """Reads one host's state again and again."""

    def __init__(self, host: HostClient, model: str) -> None:
        self._host, self._model = host, model

    async def quiet(self, within_s: float) -> None:
        """Return when no interactive work is on the engine. Raises ProfileError if it stays."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                return await self.check(0, batch_too=False)
            except Disturbed as still:
                if time.monotonic() >= deadline:
                    raise ProfileError(
                        f"there were {still.what} for {within_s:g} s",
                        where=still.where,
                        fix="Measure when the model is not in use, or on another host.",
                    ) from None
            await asyncio.sleep(LOOK_EVERY_S)

    async def watch(self, ours: int, full: asyncio.Event) -> None:
        """Look until cancelled; batch work has until the batch is `full`. Raises Disturbed."""
        while True:
            await self.check(ours, batch_too=full.is_set())
            await asyncio.sleep(LOOK_EVERY_S)

    async def check(self, ours: int, *, batch_too: bool) -> None:
        """Look once. Raises Disturbed."""
        state = await asyncio.to_thread(self._host.state)
        if what := disturbance(state, self._model, ours, batch_too=batch_too):
            raise Disturbed(what, where=f"host {state.host}", fix="It is measured again.")


def disturbance(state: HostState, model: str, ours: int, *, batch_too: bool) -> str | None:
    """What else is on the engine beside `ours` interactive generations, in words.

    `batch_too`: batch work counts; it does once it had time to be evicted. Raises ProfileError
    when the host does not serve the model any more.
    """
    if state.phase != "serving" or state.awake_model != model:
        raise ProfileError(
            f"its phase is {state.phase}, its awake model {state.awake_model}",
            where=f"host {state.host}, measured for {model}",
            fix="Run again once a host serves the model: turntable swap, or an allocation run.",
        )
    interactive = state.running.interactive + state.waiting.interactive - ours
    if interactive > 0:
        return f"{interactive} interactive requests of others"
    if batch_too and state.running.batch:
        return f"{state.running.batch} batch requests of others"
    return None
