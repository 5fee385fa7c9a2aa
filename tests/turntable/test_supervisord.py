import os
import shlex
import sys
from pathlib import Path
from typing import Any

from supervisor.options import ServerOptions

from serving.config import StateFolder, load_fleet
from serving.config.fleet import HubSource
from turntable.supervision.programs import (
    INSTANCE_VARIABLE,
    Program,
    environment,
    programs,
    repository,
)
from turntable.supervision.supervisord import render, socket_path

FLEET_FILE = repository() / "config" / "fleet.yaml"


def test_every_part_of_the_default_fleet_is_one_program(tmp_path: Path) -> None:
    found = programs(load_fleet(FLEET_FILE), FLEET_FILE, StateFolder(tmp_path))
    assert sorted(program.name for program in found) == [
        "dagster-code",
        "dagster-daemon",
        "dagster-pages",
        "gateway",
        "host-0",
        "host-1",
        "store",
    ]


def read_back(configuration: str, folder: Path) -> list[Any]:
    """The groups of processes that supervisord finds in it."""
    path = folder / "supervisord.conf"
    path.write_text(configuration)
    options = ServerOptions()
    options.realize(["-c", str(path)], doc="")
    groups: list[Any] = options.process_group_configs
    return groups


def test_supervisord_reads_back_commands_and_paths_with_blanks_and_percent_signs(
    tmp_path: Path,
) -> None:
    state = StateFolder(tmp_path / "100 % mine")
    command = (sys.executable, "-c", "print('50 %s')", "a b")
    (group,) = read_back(render([Program("odd", "host", command)], state, tmp_path), tmp_path)
    (process,) = group.process_configs
    assert tuple(shlex.split(process.command)) == command
    assert process.stdout_logfile == str(state.logs / "odd.log")
    assert (process.stopasgroup, process.killasgroup) == (True, True)


def test_the_daemon_is_stopped_before_what_it_uses(tmp_path: Path) -> None:
    found = programs(load_fleet(FLEET_FILE), FLEET_FILE, StateFolder(tmp_path))
    groups = read_back(render(found, StateFolder(tmp_path), tmp_path), tmp_path)
    # supervisord stops them from the last to the first
    (others, daemon) = sorted(groups, key=lambda group: group.priority)
    assert [process.name for process in daemon.process_configs] == ["dagster-daemon"]
    assert len(others.process_configs) == len(found) - 1


def test_a_deep_state_folder_gets_a_short_private_socket(tmp_path: Path) -> None:
    deep = StateFolder(tmp_path.joinpath(*["folder"] * 20))
    path = socket_path(deep)
    assert len(os.fsencode(path)) < 100
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert socket_path(deep) == path
    path.parent.rmdir()


def test_every_program_is_marked_with_its_instance_and_stays_offline(tmp_path: Path) -> None:
    fleet, state = load_fleet(FLEET_FILE), StateFolder(tmp_path)
    variables = environment(fleet, FLEET_FILE, state, {"HOME": "/home/user"})
    assert variables[INSTANCE_VARIABLE] == str(tmp_path)
    assert variables["HF_HUB_OFFLINE"] == "1"
    assert variables["HOME"] == "/home/user"


def test_a_fleet_with_a_hub_model_may_go_online(tmp_path: Path) -> None:
    fleet = load_fleet(FLEET_FILE)
    hub = fleet.models[0].model_copy(update={"source": HubSource(kind="hub", repo="a/b")})
    online = fleet.model_copy(update={"models": [hub]})
    assert "HF_HUB_OFFLINE" not in environment(online, FLEET_FILE, StateFolder(tmp_path), {})
