"""The outside of a running instance: everything the demo sees, it sees through here.

HTTP to the gateway, GraphQL to Dagster, SQL to the traffic store, and files where batch input is
put and output is found.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import openai
import polars

from analytics.errors import StoreError
from analytics.traffic import TrafficReader
from serving.config import OPERATOR_ACCOUNT, Fleet, StateFolder
from turntable.demo.observation import NotObserved, Say
from turntable.gateway import GatewayUnreachable, fetch_fleet, gateway_url

_REQUEST_S = 300.0
_ANSWER_S = 30.0
_RETRIES = 20
"""The client waits and asks again when the gateway answers 503 with Retry-After."""
_LOOK_AGAIN_S = 0.25
_T = TypeVar("_T")


@dataclass(frozen=True)
class Outside:
    """The public interfaces of one instance."""

    fleet: Fleet
    state: StateFolder
    say: Say

    def chat_client(self) -> openai.OpenAI:
        """The `openai` package's own client, pointed at the gateway."""
        return openai.OpenAI(
            base_url=f"{gateway_url(self.fleet)}/v1",
            api_key=self.state.token(OPERATOR_ACCOUNT),
            timeout=_REQUEST_S,
            max_retries=_RETRIES,
            http_client=openai.DefaultHttpxClient(trust_env=False),
        )

    def hosts(self) -> list[dict[str, Any]]:
        """The hosts, as the gateway sees them."""
        hosts: list[dict[str, Any]] = fetch_fleet(self.fleet, answer_s=_ANSWER_S)["hosts"]
        return hosts

    def replicas(self, model: str) -> list[str]:
        """The hosts that serve a model now."""
        return [
            host["host"]
            for host in self.hosts()
            if host.get("reachable")
            and host.get("phase") == "serving"
            and host.get("awake_model") == model
        ]

    def graphql(self, query: str, **variables: object) -> dict[str, Any]:
        """Dagster's answer. Raises NotObserved if it reports errors."""
        dagster = self.fleet.dagster
        answer = httpx.post(
            f"http://{dagster.address}:{dagster.port}/graphql",
            json={"query": query, "variables": variables},
            timeout=_ANSWER_S,
            trust_env=False,
        ).json()
        if answer.get("errors"):
            raise NotObserved(f"Dagster's GraphQL refused: {answer['errors'][0]['message']}")
        data: dict[str, Any] = answer["data"]
        return data

    def sql(self, statement: str, **parameters: object) -> polars.DataFrame:
        """One statement run in the traffic store."""
        store = self.fleet.store
        with TrafficReader(store.address, store.port, self.state.token("store")) as reader:
            return reader.query(statement, parameters)

    def wait_for(self, what: str, look: Callable[[], _T | None], timeout_s: float) -> _T:
        """What `look` finds, once it finds something. Raises NotObserved after `timeout_s`.

        A part that does not answer for once is asked again.
        """
        self.say(f"waiting for {what}")
        pause, deadline = threading.Event(), time.monotonic() + timeout_s
        while True:
            trouble = ""
            try:
                if (found := look()) is not None:
                    return found
            except (GatewayUnreachable, StoreError, httpx.HTTPError) as error:
                trouble = f"; {error}"
            if time.monotonic() > deadline:
                raise NotObserved(f"{what}: not seen within {timeout_s:.0f} s{trouble}")
            pause.wait(_LOOK_AGAIN_S)
