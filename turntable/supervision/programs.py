"""Which programs a fleet needs, and the environment they get. Pure: nothing is started here."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from serving.config import Fleet, StateFolder
from serving.config.fleet import HubSource

INSTANCE_VARIABLE = "TURNTABLE_INSTANCE"
"""Set to the state folder's path in every process of an instance, and inherited by what those
start: so a process can be told to belong to an instance whatever became of its parents."""

ProgramKind = Literal["store", "gateway", "host", "code", "pages", "daemon"]


@dataclass(frozen=True)
class Program:
    """One supervised process: its unique name, what it is, and its command line."""

    name: str
    kind: ProgramKind
    command: tuple[str, ...]
    port: int | None = None
    """The port it listens on, if it does."""
    address: str = "127.0.0.1"


def repository() -> Path:
    """The folder that holds `dagster_home/` and `config/`."""
    return Path(__file__).resolve().parents[2]


def programs(fleet: Fleet, fleet_file: Path, state: StateFolder) -> list[Program]:
    """Every program of an instance, the slowest to get ready first."""
    common = ("--fleet", str(fleet_file), "--state", str(state.root))
    hosts = [
        Program(
            host.name,
            "host",
            (sys.executable, "-m", "serving.engine", *common, "--host", host.name),
            host.port,
            host.address,
        )
        for host in fleet.hosts
    ]
    gateway = Program(
        "gateway",
        "gateway",
        (sys.executable, "-m", "serving.gateway", *common),
        fleet.gateway.port,
        fleet.gateway.address,
    )
    return [*hosts, gateway, _store(fleet, state), *_dagster(fleet)]


def _store(fleet: Fleet, state: StateFolder) -> Program:
    state.token("store")  # makes its file
    token_file = state.token_file("store")
    command = (sys.executable, "-m", "analytics.store", "--database", str(state.database))
    endpoint = ("--address", fleet.store.address, "--port", str(fleet.store.port))
    return Program(
        "store",
        "store",
        (*command, *endpoint, "--token-file", str(token_file)),
        fleet.store.port,
        fleet.store.address,
    )


def _dagster(fleet: Fleet) -> list[Program]:
    address, port, code_port = (
        fleet.dagster.address,
        fleet.dagster.port,
        fleet.dagster.code_port,
    )
    python = (sys.executable, "-m")
    endpoint = ("--host", address, "--port")
    workspace = ("--workspace", str(repository() / "dagster_home" / "workspace.yaml"))
    module = ("--module-name", "orchestration.definitions", "--location-name", "turntable")
    quiet, json = ("--log-level", "warning"), ("--log-format", "json")
    server = (*python, "orchestration.code_server", *endpoint, str(code_port))
    code = (*server, *module, *quiet, *json)
    pages = (*python, "dagster_webserver", *endpoint, str(port), *workspace)
    daemon = (*python, "orchestration.daemon", "run", *workspace, *quiet, *json)
    return [
        Program("dagster-code", "code", code, code_port, address),
        Program(
            "dagster-pages",
            "pages",
            (*pages, "--dagster-log-level", "warning", *json),
            port,
            address,
        ),
        Program("dagster-daemon", "daemon", daemon),
    ]


def environment(
    fleet: Fleet, fleet_file: Path, state: StateFolder, inherited: Mapping[str, str]
) -> dict[str, str]:
    """The environment of every program: what was inherited, and what they agree on."""
    bin_folder = str(Path(sys.executable).parent)
    local = ",".join(filter(None, [inherited.get("NO_PROXY", ""), "127.0.0.1,localhost"]))
    result = {
        **inherited,
        "PATH": os.pathsep.join(filter(None, [bin_folder, inherited.get("PATH", "")])),
        "NO_PROXY": local,
        "no_proxy": local,
        "PYTHONUNBUFFERED": "1",
        "TURNTABLE_FLEET": str(fleet_file),
        "TURNTABLE_STATE": str(state.root),
        INSTANCE_VARIABLE: str(state.root),
        "DAGSTER_HOME": str(repository() / "dagster_home"),
        "TURNTABLE_DAGSTER_STORAGE": str(state.dagster),
        "TURNTABLE_CODE_ADDRESS": fleet.dagster.address,
        "TURNTABLE_CODE_PORT": str(fleet.dagster.code_port),
        "VLLM_CONFIGURE_LOGGING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
    if not any(isinstance(model.source, HubSource) for model in fleet.models):
        result["HF_HUB_OFFLINE"] = "1"
    return result
