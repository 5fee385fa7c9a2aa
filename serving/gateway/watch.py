"""Asking every engine host how it is, all the time: one long poll a host.

Effects only: what is learnt goes to `serving.gateway.pool`, which owns it.
"""

import asyncio

import aiohttp
import msgspec
import structlog

from serving.config import HostSettings
from serving.gateway.pool import Pool
from serving.lasting import Work
from serving.wire import HostState

POLL_WAIT_S = 10.0
"""How long a host may hold a poll back when nothing changes."""
ANSWER_WITHIN_S = 10.0
"""How much longer an answer may take before the host counts as lost."""
_RETRY_FIRST_S, _RETRY_MOST_S = 0.1, 2.0

log = structlog.get_logger(__name__)


class HostWatch:
    """Keeps a Pool's view of one host fresh."""

    def __init__(
        self, host: HostSettings, token: str, session: aiohttp.ClientSession, pool: Pool
    ) -> None:
        self._host, self._session, self._pool = host, session, pool
        self._headers = {"Authorization": f"Bearer {token}"}
        self._revision: int | None = None
        self._poll: asyncio.Task[HostState] | None = None
        self._asked_anew = 0
        """How often the state as it is was wanted: what was asked for before is out of date."""

    def ask_now(self) -> None:
        """Drop the poll under way, also when it has just been answered; ask for the state as it is.

        So a state from before whatever made somebody doubt it is not taken for news.
        """
        self._asked_anew += 1
        self._revision = None
        if self._poll is not None:
            self._poll.cancel()

    async def run(self) -> None:
        """Poll until cancelled."""
        retry_s = _RETRY_FIRST_S
        while True:
            self._poll = asyncio.create_task(self._ask())
            asked_anew = self._asked_anew
            try:
                state = await self._poll
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    self._poll.cancel()
                    raise
            except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError) as error:
                self._revision = None
                self._pool.lost(self._host.name, str(error) or type(error).__name__)
                await asyncio.sleep(retry_s)
                retry_s = min(_RETRY_MOST_S, retry_s * 2)
            else:
                retry_s = _RETRY_FIRST_S
                if asked_anew == self._asked_anew:
                    self._revision = state.revision
                    self._pool.report(self._host.name, state)

    async def _ask(self) -> HostState:
        params = {} if self._revision is None else {"after": str(self._revision)}
        wait_s = 0.0 if self._revision is None else POLL_WAIT_S
        async with self._session.get(
            f"http://{self._host.address}:{self._host.port}/state",
            params={**params, "wait_s": str(wait_s)},
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=wait_s + ANSWER_WITHIN_S),
        ) as response:
            response.raise_for_status()
            return msgspec.json.decode(await response.read(), type=HostState)


class FleetWatch:
    """All hosts' watches, and whom to ask again when one is doubted."""

    def __init__(
        self, hosts: list[HostSettings], token: str, session: aiohttp.ClientSession, pool: Pool
    ) -> None:
        self._watches = {h.name: HostWatch(h, token, session, pool) for h in hosts}
        pool.on_doubt(lambda host: self._watches[host].ask_now())

    def works(self) -> dict[str, Work]:
        """What is to run always: a watch a host, so that none ends with another's."""
        return {f"watch of {host}": watch.run for host, watch in self._watches.items()}
