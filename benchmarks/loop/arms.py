"""The two arms: Turntable's own instance, and vLLM's stock server on the same model."""

from abc import ABC, abstractmethod

from benchmarks.instance import started_instance
from benchmarks.loop.chat_load import chat_alone_and_side_by_side
from benchmarks.loop.fleet import bench_fleet
from benchmarks.loop.samples import ChatSamples
from benchmarks.reaction.bursts import react
from benchmarks.reaction.samples import Reaction
from benchmarks.reaction.switches import Switched, switch
from benchmarks.start import first_answer
from benchmarks.stock import StockServer
from benchmarks.workspace import Workspace
from serving.config import Fleet

SHIFTS = 4
"""A round."""


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
        self, workspace: Workspace, fleet: Fleet, samples: ChatSamples, shifts: list[Reaction]
    ) -> None:
        self._workspace, self._fleet = workspace, fleet
        self._samples, self._shifts = samples, shifts
        self._round = f"turntable-{len(samples.first_token_s)}"

    def measure(self) -> None:
        """Take the samples of one round."""
        chat_model = self._fleet.models[0].name
        with started_instance(self._workspace, self._fleet, self._round) as instance:
            first = first_answer(instance.server, instance.gateway, chat_model, key=instance.key)
            started_at = instance.server.started_at
            self._samples.first_token_s.append(first.first_token_at - started_at)
            self._samples.all_ready_s.append(instance.wait_ready() - started_at)
            chat_alone_and_side_by_side(
                instance.gateway, chat_model, self._samples, key=instance.key
            )
            self._shifts.extend(react(instance, SHIFTS, burst=1))


class SharingArm(Arm):
    """The same fleet with shared hosts: traffic shifts only, once."""

    name = "turntable with time-sharing"

    def __init__(self, workspace: Workspace, switched: list[Switched]) -> None:
        self._workspace, self._switched = workspace, switched

    def measure(self) -> None:
        """Take all samples."""
        fleet = bench_fleet(self._workspace.original_fleet, time_sharing=True)
        with started_instance(self._workspace, fleet, "turntable-sharing") as instance:
            instance.wait_ready()
            self._switched.extend(switch(instance, 2 * SHIFTS, burst=1))


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
