"""vLLM's API app over the fleet: the one part of the gateway that knows vLLM.

Here: vLLM's configuration of a model, its sampling parameters as the wire's, the wire's tokens as
its outputs. Not here: where tokens come from.
"""
