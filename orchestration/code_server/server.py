"""Dagster's code server, with two things of our own: runs are forked, and definitions reload.

Dagster starts the process of every run anew, which then imports Dagster and the definitions for two
to three seconds while requests wait for the run's hotswaps. Its launcher has no setting for that,
so the server's process context is replaced.

Dagster's *Reload* reaches such a server, which answers that it cannot. Ours builds the definitions
anew from the files as they are, and by itself when dataset files change. Python code stays as it
is: that takes a restart.
"""

import threading
import uuid
from multiprocessing.context import ForkServerContext
from typing import Any

import dagster._grpc.server
import structlog
from dagster._core.errors import DagsterUserCodeLoadError
from dagster._core.storage.defs_state.base import set_defs_state_storage
from dagster._grpc.__generated__ import dagster_api_pb2

from orchestration.code_server.changes import Changes, Files, files_of
from orchestration.datasets.definitions import refusals
from orchestration.datasets.loading import dataset_files
from orchestration.errors import ReloadRefused
from orchestration.installation import fleet_path
from serving.config import Fleet, load_fleet

LOOK_EVERY_S = 2.0
MOST_SAID = 2000
"""Of an error, in characters: it travels in a header."""

_log = structlog.get_logger(__name__)


class CodeServer(dagster._grpc.server.DagsterApiServer):  # noqa: SLF001
    """Dagster's server of definitions, with forked runs and definitions that follow the files."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._fleet: Fleet = load_fleet(fleet_path())
        self._changes = Changes(self._dataset_files())  # before they are read: none goes unseen
        super().__init__(*arguments, **settings)
        self._mp_ctx = ForkServerContext()  # type: ignore[assignment]  # as good as the other
        self._location_name: str | None = settings.get("location_name")
        threading.Thread(target=self._follow_files, name="dataset-files", daemon=True).start()

    def ReloadCode(  # noqa: N802  # Dagster's name
        self, _request: dagster_api_pb2.ReloadCodeRequest, _context: object
    ) -> dagster_api_pb2.ReloadCodeReply:
        """Build the definitions anew. An error reaches the page on which it was asked for."""
        self.reload()
        return dagster_api_pb2.ReloadCodeReply()

    def reload(self) -> None:
        """Take the files as they are. Raises ReloadRefused; then everything stays as it was."""
        with self._reload_lock:
            self._loaded_repositories = self._load()
            self._serializable_load_error = None
            self._server_id = str(uuid.uuid4())  # by this pages and daemon see that it changed

    def _load(self) -> dagster._grpc.server.LoadedRepositories:
        storage = self._instance.defs_state_storage if self._instance else None
        try:
            with set_defs_state_storage(storage):  # of the main thread only, else
                loaded = dagster._grpc.server.LoadedRepositories(  # noqa: SLF001
                    self._loadable_target_origin,
                    entry_point=self._entry_point,
                    container_image=self._container_image,
                    container_context=self._container_context,
                    defs_state_info=self._defs_state_info,
                    code_location_name=self._location_name,
                )
        except DagsterUserCodeLoadError as error:
            raise _refused([str(error.user_exception)]) from error
        refused = [
            why
            for repository in loaded.definitions_by_name.values()
            for why in refusals(repository)
        ]
        if refused:
            raise _refused(refused)
        return loaded

    def _follow_files(self) -> None:
        """Until the server ends: reload when dataset files have changed and come to rest."""
        while not self._server_termination_event.wait(LOOK_EVERY_S):
            try:
                if self._changes.look(self._dataset_files()):
                    self.reload()
            except (ReloadRefused, OSError) as error:
                _log.error("reload_refused", error=str(error))

    def _dataset_files(self) -> Files:
        return files_of(dataset_files(self._fleet).values())


def _refused(errors: list[str]) -> ReloadRefused:
    return ReloadRefused(
        " ".join(errors)[:MOST_SAID].rstrip("."),
        where="the definitions stay as they were",
        fix="`turntable datasets` checks the files; reload when they are mended.",
    )
