"""The fleet file and the state folder: what is configured, and where things are kept.

No process is started here and nothing is fetched; `serving.weights` turns a model's source into
a checkpoint.
"""

from serving.config.accounts import BATCH_ACCOUNT, OPERATOR_ACCOUNT, OWN_ACCOUNTS, ApiKey
from serving.config.fleet import (
    Fleet,
    GatewaySettings,
    HostSettings,
    ModelSettings,
    ServiceLevels,
    load_fleet,
)
from serving.config.state import StateFolder

__all__ = [
    "BATCH_ACCOUNT",
    "OPERATOR_ACCOUNT",
    "OWN_ACCOUNTS",
    "ApiKey",
    "Fleet",
    "GatewaySettings",
    "HostSettings",
    "ModelSettings",
    "ServiceLevels",
    "StateFolder",
    "load_fleet",
]
