"""vLLM's own programs for one model: the stock server, with the settings of a registry entry.

What other programs of vLLM are given too is `engine_options` and `stock_environment`.
"""

import sys
from collections.abc import Sequence

from benchmarks.ports import free_ports
from benchmarks.servers import Server
from benchmarks.workspace import Workspace
from serving.config import HostSettings, ModelSettings
from serving.weights import checkpoint_path

_GIB = 1024**3


class StockServer:
    """The stock server of `model`, on the accelerator and cores of `host`."""

    def __init__(
        self,
        workspace: Workspace,
        model: ModelSettings,
        host: HostSettings,
        options: Sequence[str] = (),
    ) -> None:
        """`options`: further ones of its command line."""
        self.model = model
        self._options = list(options)
        self._workspace, self._host = workspace, host
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"

    def started(self, name: str) -> Server:
        """Its process, started when entered; its log carries `name`."""
        log = self._workspace.root / f"{name}.log"
        return Server(self._command(), log, self._environment())

    def _command(self) -> list[str]:
        # Not `vllm serve`: that asks for the version of a package `vllm`, which on CPU has another
        # name, and ends. It would start this very module.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--port", str(self._port), "--host", "127.0.0.1"]
        return command + engine_options(self._workspace, self.model, self._host) + self._options

    def _environment(self) -> dict[str, str]:
        return stock_environment(self._workspace, self._host)


def engine_options(workspace: Workspace, model: ModelSettings, host: HostSettings) -> list[str]:
    """Options of vLLM's command lines for an engine of `model` as on `host`."""
    options: dict[str, object] = {
        "--model": checkpoint_path(model, workspace.prepared),
        "--served-model-name": model.name,
        "--dtype": model.dtype,
        "--max-model-len": model.max_model_len,
        "--max-num-seqs": model.slots,
        "--kv-cache-memory-bytes": int(model.kv_cache_gib * _GIB),
    }
    command = [str(word) for option in options.items() for word in option]
    return command + (["--enforce-eager"] if _on_cpu(host) else [])


def stock_environment(workspace: Workspace, host: HostSettings) -> dict[str, str]:
    """The environment of a program of vLLM's, on the accelerator and cores of `host`."""
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    if not _on_cpu(host):
        devices = ",".join(map(str, host.devices))
        pinned = {"CUDA_VISIBLE_DEVICES": devices} if devices else {}
    else:
        pinned = {
            "VLLM_CPU_OMP_THREADS_BIND": host.cpu_cores,
            "TORCHDYNAMO_DISABLE": "1",  # as on our hosts: nothing is compiled on CPU
        }
    return workspace.environment(**quiet, **pinned)


def _on_cpu(host: HostSettings) -> bool:
    return host.accelerator == "cpu"
