"""A model's settings as the arguments of vLLM's own server."""

import copy
from argparse import Namespace
from functools import lru_cache
from pathlib import Path

from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

from serving.config import ModelSettings
from serving.errors import ConfigError


def serve_args(model: ModelSettings, checkpoint: Path) -> Namespace:
    """The arguments with which vLLM's server would serve `model`. Raises ConfigError."""
    args = copy.deepcopy(_defaults())
    _set(args, "model", str(checkpoint))
    _set(args, "served_model_name", [model.name])
    _set(args, "dtype", model.dtype)
    _set(args, "max_model_len", model.max_model_len)
    _set(args, "max_num_seqs", model.slots)
    _set(args, "disable_log_stats", True)
    _set(args, "disable_fastapi_docs", True)
    _set(args, "enable_prompt_tokens_details", True)
    if model.tool_call_parser is not None:
        _set(args, "tool_call_parser", model.tool_call_parser)
        _set(args, "enable_auto_tool_choice", True)
    if model.reasoning_parser is not None:
        _set(args, "reasoning_parser", model.reasoning_parser)
    if model.chat_template is not None:
        _set(args, "chat_template", str(model.chat_template))
    for name, value in model.engine_args.items():
        _set(args, name, value, where=f"models.{model.name}.engine_args")
    return args


@lru_cache(maxsize=1)
def _defaults() -> Namespace:
    args: Namespace = make_arg_parser(FlexibleArgumentParser()).parse_args([])
    return args


def _set(args: Namespace, name: str, value: object, *, where: str = "the gateway") -> None:
    if not hasattr(args, name):
        raise ConfigError(
            f"vLLM's server has no argument {name!r}",
            where=where,
            fix="Use the Python names of vLLM's engine arguments.",
        )
    setattr(args, name, value)
