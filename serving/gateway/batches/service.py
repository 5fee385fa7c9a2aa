"""The Files and Batches API put together: its routes, and what runs beside them."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError

import msgspec
import structlog
from starlette.routing import Route

from serving.batches import BodyCheck, Catalog, FileStore, Sweep
from serving.config import Fleet, StateFolder
from serving.gateway.accounts import Accounts
from serving.gateway.batches.answers import Handler, answering
from serving.gateway.batches.batch_routes import BatchRoutes
from serving.gateway.batches.file_routes import FileRoutes
from serving.gateway.batches.validating import (
    ExpectDuration,
    InputValidation,
    ValidationStopped,
)
from serving.gateway.failures import Refusal
from serving.gateway.rehearsal import Rehearsals
from serving.lasting import Work

SWEEP_EVERY_S = 600.0

log = structlog.get_logger(__name__)


class BatchService:
    """Files and batches of a gateway, kept in the state folder."""

    def __init__(
        self,
        fleet: Fleet,
        state: StateFolder,
        accounts: Accounts,
        *,
        built: Callable[[], Awaitable[None]],
        rehearsals: Rehearsals,
        expect: ExpectDuration,
    ) -> None:
        self._fleet, self._accounts, self._built = fleet, accounts, built
        self._rehearsals = rehearsals
        self._catalog = Catalog(state.batch_catalog)
        self._files = FileStore(state.batch_files, self._catalog)
        self._sweep = Sweep(
            self._catalog,
            self._files,
            state.batches_work,
            retention_s=fleet.batches.retention_s,
        )
        self._validation = InputValidation(
            self._catalog,
            self._files,
            work=state.batch_work,
            models=[model.name for model in fleet.models],
            body_check=self._body_check,
            expect=expect,
        )

    def works(self) -> dict[str, Work]:
        """What is to run always: inputs are validated, and what has had its time is dropped."""
        return {"batch validation": self._validation.run, "batch sweep": self._sweep_always}

    def close(self) -> None:
        """When nothing of it runs any more."""
        self._catalog.close()

    def routes(self) -> list[Route]:
        """Every path of the API."""
        files = FileRoutes(self._catalog, self._files)
        batches = BatchRoutes(self._catalog, self._validation.ask)
        return [
            self._route("/v1/files", "POST", files.upload),
            self._route("/v1/files", "GET", files.list),
            self._route("/v1/files/{file_id}", "GET", files.retrieve),
            self._route("/v1/files/{file_id}", "DELETE", files.delete),
            self._route("/v1/files/{file_id}/content", "GET", files.content),
            self._route("/v1/batches", "POST", batches.create),
            self._route("/v1/batches", "GET", batches.list),
            self._route("/v1/batches/{batch_id}", "GET", batches.retrieve),
            self._route("/v1/batches/{batch_id}/cancel", "POST", batches.cancel),
        ]

    def _route(self, path: str, method: str, handler: Handler) -> Route:
        return Route(path, answering(handler, self._accounts), methods=[method])

    async def _body_check(self, endpoint: str) -> BodyCheck:
        """The check of an endpoint; vLLM is imported with the models' apps, so not before those."""
        await self._built()
        from serving.gateway.adaptor.bodies import body_check

        loop = asyncio.get_running_loop()

        def rehearse(model: str, body: bytes) -> Refusal | None:
            """In the thread that validates, while the apps go on in the loop."""
            asked = self._rehearsals.refusal(endpoint, model, body)
            try:
                return asyncio.run_coroutine_threadsafe(asked, loop).result()
            except CancelledError as error:
                raise ValidationStopped from error

        return body_check(endpoint, self._fleet.models, rehearse)

    async def _sweep_always(self) -> None:
        while True:
            try:
                swept = await asyncio.to_thread(self._sweep.run)
            except (OSError, sqlite3.Error):
                log.exception("batches_not_swept")
            else:
                log.info("batches_swept", **msgspec.structs.asdict(swept))
            await asyncio.sleep(SWEEP_EVERY_S)
