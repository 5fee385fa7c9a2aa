"""The whole system, control plane and all: the demo starts a default fleet, proves and stops it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.config import StateFolder
from tests.ports import free_ports
from turntable.supervision.leftovers import members
from turntable.supervision.programs import repository

pytestmark = pytest.mark.vllm

LIMIT_S = 1500


def default_fleet_on_free_ports(folder: Path) -> Path:
    fleet: dict[str, Any] = yaml.safe_load((repository() / "config" / "fleet.yaml").read_text())
    ports = iter(free_ports(4 + len(fleet["hosts"])))
    for section, key in (
        ("gateway", "port"),
        ("store", "port"),
        ("dagster", "port"),
        ("dagster", "code_port"),
    ):
        fleet[section][key] = next(ports)
    for host in fleet["hosts"]:
        host["port"] = next(ports)
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(fleet))
    return path


@pytest.mark.timeout(LIMIT_S + 60)
def test_the_demo_observes_everything_and_leaves_nothing(
    prepared_state: StateFolder, tmp_path: Path
) -> None:
    state = StateFolder(tmp_path / "state")
    state.root.mkdir()
    (state.root / "weights").symlink_to(prepared_state.weights)
    command = [sys.executable, "-m", "turntable", "--state", str(state.root)]
    command += ["--fleet", str(default_fleet_on_free_ports(tmp_path)), "demo", "--json"]

    demo = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_S, env=dict(os.environ), check=False
    )

    assert demo.returncode == 0, demo.stdout + demo.stderr
    steps = json.loads(demo.stdout)
    assert len(steps) == 5
    assert all(step["observed"] and step["seen"] for step in steps)
    switch, own_host = steps[1]["seen"], steps[2]["seen"]
    assert any(said.startswith("switch on host-") for said in switch)
    assert any(said.startswith("planned hotswap on host-") for said in own_host)
    assert members(state) == []
