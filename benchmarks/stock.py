"""The stock server: what vLLM offers for one model, with the settings of a registry entry."""

import sys
from collections.abc import Sequence

from benchmarks.servers import Server, free_ports
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
        model = self.model
        options: dict[str, object] = {
            "--served-model-name": model.name,
            "--port": self._port,
            "--host": "127.0.0.1",
            "--dtype": model.dtype,
            "--max-model-len": model.max_model_len,
            "--max-num-seqs": model.slots,
            "--kv-cache-memory-bytes": int(model.kv_cache_gib * _GIB),
        }
        checkpoint = checkpoint_path(model, self._workspace.prepared)
        # Not `vllm serve`: that asks for the version of a package `vllm`, which on CPU has another
        # name, and ends. It would start this very module.
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", str(checkpoint)]
        for option, value in options.items():
            command += [option, str(value)]
        command += self._options
        return command + (["--enforce-eager"] if self._on_cpu() else [])

    def _environment(self) -> dict[str, str]:
        quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
        if not self._on_cpu():
            devices = ",".join(map(str, self._host.devices))
            pinned = {"CUDA_VISIBLE_DEVICES": devices} if devices else {}
        else:
            pinned = {
                "VLLM_CPU_OMP_THREADS_BIND": self._host.cpu_cores,
                "TORCHDYNAMO_DISABLE": "1",  # as on our hosts: nothing is compiled on CPU
            }
        return self._workspace.environment(**quiet, **pinned)

    def _on_cpu(self) -> bool:
        return self._host.accelerator == "cpu"
