"""A client of one engine host, for commands and state (the gateway's data path is its own)."""

import functools
import ssl
from types import TracebackType
from typing import Self

import httpx
import msgspec

from serving.errors import HostDown, HostError, HostUnreachable, PlanRefused
from serving.wire import (
    BatchSizeProfile,
    Grant,
    HostState,
    IdleTier,
    Standbys,
    SwapCommand,
    SwapReport,
    SwitchCommand,
    TierCommand,
    TierReport,
    TpotLevel,
)

_ANSWER_S = 10.0
_SWAP_S = 300.0


class HostClient:
    """Talks to one engine host. Raises HostUnreachable, PlanRefused or HostError."""

    def __init__(self, address: str, port: int, token: str) -> None:
        self._where = f"engine host {address}:{port}"
        self._http = httpx.Client(
            base_url=f"http://{address}:{port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_ANSWER_S,
            verify=_certificates(),
        )

    def state(self, after: int | None = None, wait_s: float = 0.0) -> HostState:
        """The host's state; with `after`, once its revision is above it, or `wait_s` is over."""
        params: dict[str, float] = {} if after is None else {"after": after, "wait_s": wait_s}
        answer = self._ask("GET", "/state", params=params, timeout=wait_s + _ANSWER_S)
        return msgspec.json.decode(answer.content, type=HostState)

    def swap(self, command: SwapCommand, *, timeout_s: float = _SWAP_S) -> SwapReport:
        """Make a model the awake one; returns when the hotswap has ended, however it ended.

        Safe to repeat: the host answers a command it has carried out with the recorded report.
        """
        body = msgspec.json.encode(command)
        answer = self._ask("PUT", "/awake", content=body, timeout=timeout_s)
        return msgspec.json.decode(answer.content, type=SwapReport)

    def grant(self, grant: Grant) -> None:
        """Say which models the host may have awake. Safe to repeat. Raises PlanRefused."""
        self._ask("PUT", "/grant", content=msgspec.json.encode(grant), timeout=_ANSWER_S)

    def switch(self, command: SwitchCommand, *, timeout_s: float = _SWAP_S) -> SwapReport:
        """Make a model of the host's grant the awake one; returns when the hotswap has ended.

        Raises PlanRefused when it is outside the grant, or the host is not as expected any more.
        """
        body = msgspec.json.encode(command)
        answer = self._ask("POST", "/switch", content=body, timeout=timeout_s)
        return msgspec.json.decode(answer.content, type=SwapReport)

    def cancel(self, plan_id: int) -> None:
        """Withdraw the hotswap of a plan while it waits or has not fenced yet.

        Its `swap` then raises PlanRefused, or reports the outcome `cancelled`. Raises PlanRefused
        when there is nothing left to cancel.
        """
        self._ask("DELETE", f"/awake/{plan_id}", timeout=_ANSWER_S)

    def change_tier(self, model: str, tier: IdleTier, *, timeout_s: float = _SWAP_S) -> TierReport:
        """Bring a model that is not awake to a tier; returns when it is there, or was stopped.

        Raises PlanRefused when it is awake or there is no room for it.
        """
        body = msgspec.json.encode(TierCommand(tier=tier))
        answer = self._ask("PUT", f"/tiers/{model}", content=body, timeout=timeout_s)
        return msgspec.json.decode(answer.content, type=TierReport)

    def want(self, standbys: Standbys) -> None:
        """Say which models are wanted ready on the host. Raises PlanRefused for an older plan."""
        self._ask("PUT", "/standbys", content=msgspec.json.encode(standbys), timeout=_ANSWER_S)

    def give_profile(self, profile: BatchSizeProfile) -> None:
        """Have the host begin the model's interactive cap from this profile, and keep it.

        Raises PlanRefused when the host does not know the model.
        """
        body = msgspec.json.encode(profile)
        self._ask("PUT", f"/profiles/{profile.model}", content=body, timeout=_ANSWER_S)

    def keep_to_level(self, model: str, level: TpotLevel) -> None:
        """Have the model's interactive cap keep to this TPOT until the host is restarted.

        Raises PlanRefused when the host does not know the model.
        """
        self._ask("PUT", f"/levels/{model}", content=msgspec.json.encode(level), timeout=_ANSWER_S)

    def ready(self) -> bool:
        """Whether the host serves its awake model now; False also when it cannot be reached."""
        try:
            return self._http.get("/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(
        self,
        method: str,
        path: str,
        *,
        timeout: float,
        params: dict[str, float] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        try:
            answer = self._http.request(
                method, path, params=params, content=content, timeout=timeout
            )
        except httpx.TransportError as error:
            kind = HostDown if _refused_connection(error) else HostUnreachable
            raise kind(
                str(error) or type(error).__name__,
                where=self._where,
                fix="See whether it runs: turntable status.",
            ) from error
        if answer.is_success:
            return answer
        raise self._refused(answer)

    def _refused(self, answer: httpx.Response) -> HostError:
        try:
            error = answer.json()["error"]
            kind = PlanRefused if error["type"] == "PlanRefused" else HostError
            return kind(error["what"], where=error["where"], fix=error["fix"])
        except (ValueError, KeyError, TypeError):
            return HostError(
                f"it answered {answer.status_code}: {answer.text[:200]}",
                where=self._where,
                fix="Check the address and the admin token.",
            )


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Made once a process: httpx would read all of them again for every client."""
    return httpx.create_ssl_context()


def _refused_connection(error: BaseException | None) -> bool:
    """Whether the operating system said that nobody listens there."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False
