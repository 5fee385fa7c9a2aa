"""Turning a model's source into a checkpoint folder that an engine can load.

`checkpoint_path` says where a model's checkpoint is; `prepare` makes it be there, and `hold` also
keeps it there. See README.md. Nothing here loads a model into this process: conversions run in a
process of their own, so neither torch nor its memory ever comes into the caller.
"""

from serving.weights.checkpoint import checkpoint_path, hold, prepare
from serving.weights.locks import Lease

__all__ = ["Lease", "checkpoint_path", "hold", "prepare"]
