"""Which model each host has: pinned, as an operator would, so that the planner moves nothing."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.instance import Instance
from benchmarks.setting import BenchmarkUnable

_LIMIT_S = 120.0
_SETTLE_S = 3.0
"""In which the sensor has seen the pins and asked for the runs that they lead to."""
_UNDER_WAY = """{ runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED]}) {
  ... on Runs { results { runId } } } }"""


def pin_hosts(instance: Instance, fleet_file: Path, models: Sequence[str]) -> None:
    """Pin the hosts to `models`, in their order; wait until it is so and all is quiet."""
    wanted = dict(zip((host.name for host in instance.fleet.hosts), models, strict=True))
    for host, model in wanted.items():
        _pin(instance, fleet_file, host, model)

    def there() -> bool | None:
        hosts = instance.hosts()
        return (
            all(
                name in hosts
                and hosts[name]["reachable"]
                and hosts[name]["phase"] == "serving"
                and hosts[name]["awake_model"] == model
                for name, model in wanted.items()
            )
            or None
        )

    time.sleep(_SETTLE_S)
    instance.until(there, f"the hosts have {', '.join(models)}", limit_s=_LIMIT_S)
    instance.until(lambda: _no_run(instance), "no run is under way", limit_s=_LIMIT_S)


def _no_run(instance: Instance) -> bool | None:
    return not instance.graphql(_UNDER_WAY)["runsOrError"]["results"] or None


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
