"""Which model each host has: pinned, as an operator would, so that the planner moves nothing."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.instance import Instance
from benchmarks.setting import BenchmarkUnable

_LIMIT_S = 120.0


def pin_hosts(instance: Instance, fleet_file: Path, models: Sequence[str]) -> None:
    """Pin the hosts to `models`, in their order, and wait until the gateway sees it."""
    wanted = dict(zip((host.name for host in instance.fleet.hosts), models, strict=True))
    for host, model in wanted.items():
        _pin(instance, fleet_file, host, model)

    def there() -> bool | None:
        hosts = instance.hosts()
        return all(
            name in hosts
            and hosts[name]["reachable"]
            and hosts[name]["phase"] == "serving"
            and hosts[name]["awake_model"] == model
            for name, model in wanted.items()
        ) or None

    instance.until(there, f"the hosts have {', '.join(models)}", limit_s=_LIMIT_S)


def _pin(instance: Instance, fleet_file: Path, host: str, model: str) -> None:
    command = [str(Path(sys.executable).parent / "turntable")]
    command += ["--fleet", str(fleet_file), "--state", str(instance.state.root)]
    command += ["plan", "pin", host, model, "--note", "benchmark"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode != 0:
        raise BenchmarkUnable(
            f"{host} could not be pinned to {model}: {done.stdout}{done.stderr}",
            where="turntable plan pin",
            fix="Mend what it says.",
        )
