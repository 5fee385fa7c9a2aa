"""The gateway process: `python -m serving.gateway --fleet FILE --state DIR`."""

import argparse
import asyncio
import gc
import importlib
import logging
import os
import sys
from pathlib import Path

import structlog
from starlette.types import ASGIApp
from uvicorn.loops.auto import auto_loop_factory

from analytics.writer import EventWriter
from serving.config import Fleet, ModelSettings, StateFolder, load_fleet
from serving.errors import TurntableError
from serving.gateway.assembly import running_gateway
from serving.gateway.attempts import AttemptRunner
from serving.gateway.server import GatewayServer
from serving.logs import configure_logging
from serving.weights import hold

THREADS = "1"
"""The gateway computes nothing with tensors; more threads would only take cores from engines."""
ADAPTOR = "serving.gateway.adaptor.apps"

log = structlog.get_logger(__name__)


def main() -> int:
    """Serve until told to stop; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m serving.gateway", description=__doc__)
    parser.add_argument("--fleet", type=Path, required=True, help="the fleet file")
    parser.add_argument("--state", type=Path, required=True, help="the state folder")
    arguments = parser.parse_args()
    os.environ["VLLM_CONFIGURE_LOGGING"] = "0"
    os.environ["OMP_NUM_THREADS"] = THREADS
    configure_logging("gateway")
    logging.getLogger("vllm").setLevel(logging.WARNING)
    try:
        fleet = load_fleet(arguments.fleet)
        # The loop that uvicorn would choose: uvloop where it is installed, as vLLM's server has it.
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(serve(fleet, StateFolder(arguments.state.resolve())))
    except TurntableError as error:
        log.error("gateway_failed", what=error.what, where=error.where, fix=error.fix)
        return 1
    finally:
        # Or extension modules report what is frozen as leaked when the interpreter ends.
        gc.unfreeze()
    return 0


async def serve(fleet: Fleet, state: StateFolder) -> None:
    """Serve `fleet` until SIGINT or SIGTERM, or until a model's app cannot be built."""
    token = state.token("store")
    events = EventWriter(fleet.store.address, fleet.store.port, token, source="gateway")

    async def build(model: ModelSettings, runner: AttemptRunner) -> ASGIApp:
        return await _build(model, runner, state, fleet.weights.budget_gib)

    try:
        async with running_gateway(fleet, state=state, events=events, build=build) as gateway:
            settings = fleet.gateway
            server = GatewayServer(gateway.app, address=settings.address, port=settings.port)
            gateway.built.add_done_callback(lambda built: _built(built, server))
            await server.serve()
            if gateway.built.done():
                await gateway.built
    finally:
        await asyncio.to_thread(events.close)


def _built(built: asyncio.Task[None], server: GatewayServer) -> None:
    if built.cancelled():
        return
    if built.exception() is not None:
        server.should_exit = True
        return
    # The apps live as long as the process: collecting garbage need not walk them.
    gc.collect()
    gc.freeze()
    log.info("gateway_ready")


async def _build(
    model: ModelSettings, runner: AttemptRunner, state: StateFolder, budget_gib: float | None
) -> ASGIApp:
    def say(line: str) -> None:
        log.info("preparing", model=model.name, progress=line)

    lease = await asyncio.to_thread(hold, model, state, say, budget_gib=budget_gib)
    with lease:  # configuration and tokenizer are read while the app is built, and never again
        await asyncio.to_thread(_import_vllm)
        from serving.gateway.adaptor.apps import model_app

        return await model_app(model, lease.path, runner)


def _import_vllm() -> None:
    """Import vLLM without collecting garbage in between: most objects made here live for ever."""
    if ADAPTOR in sys.modules:
        return
    gc.disable()
    try:
        importlib.import_module(ADAPTOR)
        gc.freeze()
    finally:
        gc.enable()


if __name__ == "__main__":
    sys.exit(main())
