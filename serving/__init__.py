"""The data plane: the gateway, the engine hosts, and what the two agree on.

`serving.config` and `serving.wire` are the agreements; `serving.weights` prepares checkpoints;
`serving.engine` and `serving.gateway` never import each other.
"""
