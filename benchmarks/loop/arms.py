"""The two arms: Turntable's own instance, and vLLM's stock server on the same model."""

import sys
from abc import ABC, abstractmethod
from pathlib import Path

from benchmarks.loop.chat_load import chat_alone_and_side_by_side
from benchmarks.loop.samples import ChatSamples, Shift
from benchmarks.loop.shifts import Shifter
from benchmarks.servers import Server
from benchmarks.start import first_answer
from benchmarks.stock import StockServer
from benchmarks.workspace import Workspace, write_fleet
from serving.config import Fleet


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
        stock = StockServer(self._workspace, self._fleet.models[0], self._fleet.hosts[0])
        with stock.started(f"stock-{len(self._samples.first_token_s)}") as server:
            first = first_answer(server, stock.url, stock.model.name)
            self._samples.first_token_s.append(first.first_token_at - server.started_at)
            chat_alone_and_side_by_side(stock.url, stock.model.name, self._samples)
