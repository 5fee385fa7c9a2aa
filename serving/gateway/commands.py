"""Telling an engine host to switch within its grant. Only transport."""

from typing import Protocol

import aiohttp
import msgspec

from serving.config import HostSettings
from serving.errors import HostError, PlanRefused
from serving.gateway.pool import unreachable
from serving.wire import SwapReport, SwitchCommand

ANSWER_WITHIN_S = 300.0
"""A host answers when the hotswap has ended, which may be a cold start."""


class SwitchSender(Protocol):
    """Sends switches to hosts."""

    async def switch(self, host: HostSettings, command: SwitchCommand) -> SwapReport:
        """How the switch ended. Raises HostError; PlanRefused when the host does not make it."""


class HostCommands:
    """Commands over the gateway's connections."""

    def __init__(self, session: aiohttp.ClientSession, token: str) -> None:
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}

    async def switch(self, host: HostSettings, command: SwitchCommand) -> SwapReport:
        """How the switch ended. Raises HostUnreachable, PlanRefused or HostError."""
        try:
            async with self._session.post(
                f"http://{host.address}:{host.port}/switch",
                data=msgspec.json.encode(command),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
            ) as response:
                body = await response.read()
                if response.status == 200:
                    return msgspec.json.decode(body, type=SwapReport)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(host, str(error) or type(error).__name__) from error
        except msgspec.MsgspecError as error:
            raise HostError(
                f"its answer to a switch is not one: {error}",
                where=f"engine host {host.name}",
                fix="Run gateway and engine hosts of the same version.",
            ) from error
        raise _refused(host, response.status, body)


def _refused(host: HostSettings, status: int, body: bytes) -> HostError:
    kind = PlanRefused if status == 409 else HostError
    return kind(
        f"it answered {status}: {body.decode(errors='replace')[:300]}",
        where=f"engine host {host.name}",
        fix="Its state says what it does; a version without switching answers 404.",
    )
