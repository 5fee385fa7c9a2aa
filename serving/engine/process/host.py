"""The host process: an engine host over vLLM engines, forked from the warm process."""

import os
import signal
from pathlib import Path

import structlog

from analytics.writer import EventWriter
from serving.config import StateFolder, load_fleet
from serving.engine.assembly import assemble
from serving.engine.memory import proportional_bytes
from serving.engine.process.context import use_warm_process
from serving.engine.process.lifetime import die_with_requester
from serving.engine.server import HostServer
from serving.engine.stored_weights import StoredWeights
from serving.engine.vllm.engine import VllmEngine
from serving.logs import configure_logging

log = structlog.get_logger(__name__)


def run_host(fleet_path: Path, state_root: Path, name: str) -> None:
    """Serve the host `name` until told to stop. Exits with 1 if it crashed."""
    die_with_requester()
    configure_logging(f"engine/{name}")
    use_warm_process()
    fleet, state = load_fleet(fleet_path), StateFolder(state_root)
    settings = fleet.host(name)
    sink = EventWriter(
        fleet.store.address, fleet.store.port, state.token("store"), source=f"host/{name}"
    )
    weights = StoredWeights(fleet, state)
    crashes: list[None] = []

    def crash() -> None:
        crashes.append(None)
        os.kill(os.getpid(), signal.SIGTERM)

    host = assemble(
        fleet,
        state,
        name,
        lambda model: VllmEngine(model, settings, weights.of(model)),
        sink,
        weights=weights,
        own_memory_bytes=lambda: proportional_bytes(os.getpid()),
        on_crash=crash,
    )
    log.info("host starts", host=name, port=settings.port)
    HostServer(host, address=settings.address, port=settings.port).run()
    sink.close()
    if crashes:
        raise SystemExit(1)
