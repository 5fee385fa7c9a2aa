"""What the gateway says of the fleet (`GET /fleet`), for commands and the demo."""

from typing import Any

import httpx

from serving.config import Fleet
from serving.errors import TurntableError
from turntable.settings import Settings
from turntable.supervision.instance import NotRunning, running_instance

_ANSWER_S = 5.0


class GatewayUnreachable(TurntableError):
    """No usable answer from the gateway."""


def gateway_url(fleet: Fleet) -> str:
    """The gateway's base URL."""
    return f"http://{fleet.gateway.address}:{fleet.gateway.port}"


def fetch_fleet(fleet: Fleet, *, answer_s: float = _ANSWER_S) -> dict[str, Any]:
    """Hosts and models as the gateway sees them now. Raises GatewayUnreachable."""
    url = f"{gateway_url(fleet)}/fleet"
    try:
        answer = httpx.get(url, timeout=answer_s, trust_env=False)
        content: dict[str, Any] = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise GatewayUnreachable(
            f"the gateway does not answer: {error}", where=url, fix="See: turntable status"
        ) from error
    return content


def hosts_of(chosen: Settings) -> dict[str, list[str]] | None:
    """The names of each model's replicas; None if no instance runs."""
    try:
        running_instance(chosen.state)
        hosts = fetch_fleet(chosen.fleet())["hosts"]
    except (NotRunning, GatewayUnreachable):
        return None
    found: dict[str, list[str]] = {}
    for host in hosts:
        if host.get("reachable") and host.get("awake_model"):
            found.setdefault(host["awake_model"], []).append(host["host"])
    return found
