"""Building vLLM's API app of a model: configuration and tokenizer, no weights and no engine."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.types import ASGIApp
from vllm.config import VllmConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.app import build_app
from vllm.usage.usage_lib import UsageContext

from serving.config import ModelSettings
from serving.gateway.adaptor.client import FleetEngineClient
from serving.gateway.adaptor.serve_args import serve_args
from serving.gateway.attempts import AttemptRunner


async def model_app(model: ModelSettings, checkpoint: Path, runner: AttemptRunner) -> ASGIApp:
    """The app of `model`, its tokens coming from `runner`."""
    args = serve_args(model, checkpoint)
    config, client = await asyncio.to_thread(_client, args, model, runner)
    with _root_log_level_kept():
        app = build_app(args, ("generate",), config.model_config)
    await init_app_state(client, app.state, args, ("generate",))
    built: ASGIApp = app
    return built


@contextmanager
def _root_log_level_kept() -> Iterator[None]:
    """A library that build_app calls would silence everything below ERROR, in the whole process."""
    root = logging.getLogger()
    level, handlers = root.level, [(handler, handler.level) for handler in root.handlers]
    try:
        yield
    finally:
        root.setLevel(level)
        for handler, handler_level in handlers:
            handler.setLevel(handler_level)


def _client(
    args: object, model: ModelSettings, runner: AttemptRunner
) -> tuple[VllmConfig, FleetEngineClient]:
    engine_args = AsyncEngineArgs.from_cli_args(args)
    config = engine_args.create_engine_config(UsageContext.OPENAI_API_SERVER)
    return config, FleetEngineClient(config, model, runner)
