"""Turning a model's source into a checkpoint folder that an engine can load.

`checkpoint_path` says where a model's checkpoint is; `prepare` makes it be there. Nothing here
loads a model into this process: conversions run in a process of their own, so neither torch nor
its memory ever comes into the caller.
"""

from serving.weights.checkpoint import checkpoint_path, prepare

__all__ = ["checkpoint_path", "prepare"]
