"""The two arms: Turntable's own instance, and vLLM's stock server on the same model."""

import sys
from abc import ABC, abstractmethod
from pathlib import Path

from benchmarks.loop.chat_load import chat_alone_and_side_by_side, first_answer
from benchmarks.loop.fleet import write_fleet
from benchmarks.loop.samples import ChatSamples, Shift
from benchmarks.loop.shifts import Shifter
from benchmarks.loop.workspace import Workspace
from benchmarks.servers import Server, free_ports
from serving.config import Fleet
from serving.weights import checkpoint_path

_GIB = 1024**3


class Arm(ABC):
    """Something that can be started, measured and stopped within one round."""

    name: str

    @abstractmethod
    def measure(self) -> None:
        """Start it, take its samples, stop it."""


class TurntableArm(Arm):
    """`turntable up` over a fleet on free ports: start, chat, traffic shifts."""

    name = "turntable"

    def __init__(
        self, workspace: Workspace, fleet: Fleet, samples: ChatSamples, shifts: list[Shift]
    ) -> None:
        self._workspace, self._fleet = workspace, fleet
        self._samples, self._shifts = samples, shifts
        self._round = f"turntable-{len(samples.first_token_s)}"

    def measure(self) -> None:
        """Take the samples of one round."""
        url = f"http://{self._fleet.gateway.address}:{self._fleet.gateway.port}"
        chat_model = self._fleet.models[0].name
        state = self._workspace.state(self._round)
        fleet_file = self._workspace.root / f"{self._round}.yaml"
        write_fleet(self._fleet, fleet_file)
        log = self._workspace.root / f"{self._round}.log"
        command = [str(Path(sys.executable).parent / "turntable")]
        command += ["--fleet", str(fleet_file), "--state", str(state.root), "up"]
        with Server(command, log, self._workspace.environment()) as server:
            first = first_answer(server, url, chat_model)
            self._samples.first_token_s.append(first.first_token_at - server.started_at)
            shifter = Shifter(self._fleet, state, server, self._workspace.say)
            self._samples.all_ready_s.append(shifter.wait_ready() - server.started_at)
            chat_alone_and_side_by_side(url, chat_model, self._samples)
            self._shifts.extend(shifter.shifts())


class StockArm(Arm):
    """vLLM's own API server with the chat model's settings: start, chat."""

    name = "stock vLLM server"

    def __init__(self, workspace: Workspace, fleet: Fleet, samples: ChatSamples) -> None:
        self._workspace, self._fleet, self._samples = workspace, fleet, samples

    def measure(self) -> None:
        """Take the samples of one round."""
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        name = self._fleet.models[0].name
        log = self._workspace.root / f"stock-{len(self._samples.first_token_s)}.log"
        with Server(self._command(port), log, self._environment()) as server:
            first = first_answer(server, url, name)
            self._samples.first_token_s.append(first.first_token_at - server.started_at)
            chat_alone_and_side_by_side(url, name, self._samples)

    def _command(self, port: int) -> list[str]:
        model = self._fleet.models[0]
        options: dict[str, object] = {
            "--served-model-name": model.name,
            "--port": port,
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
        return command + (["--enforce-eager"] if self._on_cpu() else [])

    def _environment(self) -> dict[str, str]:
        quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
        if not self._on_cpu():
            devices = ",".join(map(str, self._fleet.hosts[0].devices))
            pinned = {"CUDA_VISIBLE_DEVICES": devices} if devices else {}
        else:
            pinned = {
                "VLLM_CPU_OMP_THREADS_BIND": self._fleet.hosts[0].cpu_cores,
                "TORCHDYNAMO_DISABLE": "1",  # as on our hosts: nothing is compiled on CPU
            }
        return self._workspace.environment(**quiet, **pinned)

    def _on_cpu(self) -> bool:
        return self._fleet.hosts[0].accelerator == "cpu"
