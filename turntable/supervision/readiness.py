"""Asking programs whether they are ready, each kind over its own interface."""

from dataclasses import dataclass
from typing import Any

import httpx

from serving.config import Fleet, StateFolder
from turntable.supervision.programs import Program

_ANSWER_S = 2.0
_NOTE_CHARACTERS = 70
_LOCATION = """{
  workspaceOrError { ... on Workspace { locationEntries {
    name loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } }
}"""
_DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"


@dataclass(frozen=True)
class Readiness:
    """The answer; `note` says what is being waited for, empty: nothing is known anew."""

    ready: bool
    note: str = ""


class Prober:
    """Asks the programs of one instance."""

    def __init__(self, fleet: Fleet, state: StateFolder) -> None:
        self._state = state
        self._graphql = f"http://{fleet.dagster.address}:{fleet.dagster.port}/graphql"
        self._http = httpx.Client(timeout=_ANSWER_S, trust_env=False)
        self._questions = {
            "store": self._store,
            "host": self._serving,
            "gateway": self._serving,
            "pages": self._pages,
            "code": self._code,
            "daemon": self._daemon,
        }

    def ask(self, program: Program) -> Readiness:
        """Ask a program whether it is ready. Never raises because it is not."""
        try:
            return self._questions[program.kind](program)
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return Readiness(False)

    def _serving(self, program: Program) -> Readiness:
        answer = self._http.get(f"http://{program.address}:{program.port}/ready")
        if answer.status_code == httpx.codes.OK:
            return Readiness(True)
        body = answer.json()
        return Readiness(False, str(body.get("reason", body))[:_NOTE_CHARACTERS])

    def _store(self, program: Program) -> Readiness:
        from analytics.errors import StoreError
        from analytics.traffic import TrafficReader

        assert program.port is not None
        try:
            with TrafficReader(program.address, program.port, self._state.token("store")) as reader:
                reader.query("SELECT 1")
        except StoreError:
            return Readiness(False)
        return Readiness(True)

    def _pages(self, program: Program) -> Readiness:
        answer = self._http.get(f"http://{program.address}:{program.port}/server_info")
        return Readiness(answer.status_code == httpx.codes.OK)

    def _code(self, _program: Program) -> Readiness:
        workspace = self._ask_dagster(_LOCATION)["workspaceOrError"]
        for entry in workspace.get("locationEntries", []):
            outcome = entry["locationOrLoadError"] or {}
            if outcome.get("__typename") == "RepositoryLocation":
                return Readiness(True)
            return Readiness(False, str(outcome.get("message") or "loading")[:_NOTE_CHARACTERS])
        return Readiness(False)

    def _daemon(self, _program: Program) -> Readiness:
        health = self._ask_dagster(_DAEMONS)["instance"]["daemonHealth"]
        statuses = health["allDaemonStatuses"]
        missing = [row["daemonType"] for row in statuses if row["required"] and not row["healthy"]]
        if missing:
            return Readiness(False, f"waiting for {', '.join(missing).lower()}")
        return Readiness(bool(statuses))

    def _ask_dagster(self, query: str) -> dict[str, Any]:
        answer = self._http.post(self._graphql, json={"query": query})
        data: dict[str, Any] = answer.raise_for_status().json()["data"]
        return data
