"""The light main of an engine host: starts the warm process, has the host forked from it, waits.

It imports no vLLM and holds no state, so that a signal is answered at once, whatever the others do.
"""

import multiprocessing
import os
import signal
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import FrameType

import structlog

from serving.config import HostSettings

_STOP_S = 15.0
_PRELOAD = "serving.engine.process.preload"

log = structlog.get_logger(__name__)


def run(fleet: Path, state: Path, settings: HostSettings) -> int:
    """Run the host process until it ends or a signal comes; the exit code."""
    os.environ.update(_environment(settings))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOAD])
    process = context.Process(
        target=_host_process, args=(fleet, state, settings.name), name="engine host"
    )
    process.start()
    told = _forward_signals(process)
    process.join()
    log.info("host ended", host=settings.name, exit_code=process.exitcode)
    return 0 if told else process.exitcode or 1


def _host_process(fleet: Path, state: Path, name: str) -> None:
    # Imported here: this module is the light main's too.
    from serving.engine.process.host import run_host

    run_host(fleet, state, name)


def _environment(settings: HostSettings) -> Mapping[str, str]:
    """What vLLM reads from the environment; the warm process inherits it, and all its forks."""
    environment = {"VLLM_CONFIGURE_LOGGING": "0", "VLLM_NO_USAGE_STATS": "1"}
    if settings.accelerator == "cuda":
        # Devices have the numbers that the driver's tools give them.
        environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        # The workers of a tensor-parallel group are forked from their engine's warm process too.
        environment["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"
        if settings.devices:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, settings.devices))
        return environment
    environment["VLLM_CPU_OMP_THREADS_BIND"] = settings.cpu_cores
    # Engines on CPU run eagerly, but some of vLLM's sampling is compiled at first use: 20 s in the
    # first request for logprobs, and a C++ compiler that a machine may not have.
    environment["TORCHDYNAMO_DISABLE"] = "1"
    return environment


def _forward_signals(process: ForkServerProcess) -> list[int]:
    """Pass SIGTERM and SIGINT on as SIGTERM; by force if it has not ended in time."""
    told: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        if process.is_alive():
            process.terminate()
        signal.alarm(int(_STOP_S))

    def force(_number: int, _frame: FrameType | None) -> None:
        log.error("host did not stop in time, killing it", limit_s=_STOP_S)
        process.kill()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGALRM, force)
    return told
