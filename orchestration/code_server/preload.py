"""Imported by the warm process, once, before it forks a run: everything that a run would import.

Importing this module is its purpose, so unlike other modules it does work at import. It reads no
fleet file and opens nothing: a run does both for itself.
"""

import gc
import importlib

PUT_OFF = (
    "aiohttp",
    "dagster._core.execution.api",
    "dagster._core.executor.in_process",
    "dagster._core.secrets.env_file",
    "dagster._core.storage.fs_io_manager",
    "dagster._core.storage.root",
    "dagster._core.storage.sqlite_storage",
    "dagster._grpc.impl",
    "httpcore",
    "prometheus_client",
    "pyarrow",
)
"""What Dagster and other libraries import when it is first used; a run uses all of it."""

# None of what is made here is garbage; collecting it later would copy pages that runs share.
gc.disable()
importlib.import_module("orchestration.definitions")
for module in PUT_OFF:
    importlib.import_module(module)
gc.freeze()
gc.enable()
