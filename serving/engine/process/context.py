"""How engine processes are started: forked from the warm process, pinned, and kept track of.

vLLM asks `vllm.v1.engine.utils.get_mp_context` how to start its engine core; `started_by` answers
for the engines constructed inside it.
"""

import contextvars
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

import torch
import vllm.v1.engine.utils
from vllm.utils.cpu_resource_utils import parse_id_list

from serving.engine.process.lifetime import die_with_requester
from serving.logs import configure_logging

_current: contextvars.ContextVar["EngineProcesses"] = contextvars.ContextVar("engine_processes")
_END_S = 5.0


class EngineProcesses(ForkServerContext):
    """The processes of one engine, started from the warm process."""

    def __init__(self, label: str, *, cpu_cores: str, cuda: bool) -> None:
        super().__init__()
        self._label = label
        self.started: list[ForkServerProcess] = []
        self._cores = () if cuda or cpu_cores == "auto" else tuple(parse_id_list(cpu_cores))

    def Process(  # type: ignore[override]  # noqa: N802 - multiprocessing's name
        self,
        *,
        target: Callable[..., Any],
        name: str,
        kwargs: dict[str, Any],
    ) -> ForkServerProcess:
        """An engine process, as vLLM asks for it; it dies with this process."""
        process = ForkServerProcess(
            target=run_engine, name=name, args=(target, self._label, self._cores), kwargs=kwargs
        )
        self.started.append(process)
        return process

    def kill(self) -> None:
        """End what still runs by force."""
        for process in self.started:
            if process.pid is not None and process.is_alive():
                process.kill()
                process.join(_END_S)


def run_engine(
    target: Callable[..., Any], label: str, cores: tuple[int, ...], **kwargs: Any
) -> None:
    """An engine process: what vLLM runs in it, with our logs, on its cores, dying with its host."""
    die_with_requester()
    # Ctrl-C reaches the whole group; the host stops its engines when it has handed back its work.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    configure_logging(label)
    if cores:
        # Before OpenMP has threads: they inherit both.
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(len(cores))
    target(**kwargs)


def use_warm_process() -> None:
    """Have vLLM start its engine cores by `started_by`'s processes. Once, in the host process."""
    # A process forked from the warm one knows its address, but would start another one because it
    # is not that one's parent (multiprocessing checks only for a child of its own).
    forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]  # noqa: SLF001
    vllm.v1.engine.utils.get_mp_context = lambda: _current.get(get_context("forkserver"))


@contextmanager
def started_by(processes: EngineProcesses) -> Iterator[None]:
    """Inside, processes that vLLM starts (in this thread or task) are `processes`."""
    token = _current.set(processes)
    try:
        yield
    finally:
        _current.reset(token)
