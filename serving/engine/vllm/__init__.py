"""The engine that serves: vLLM's AsyncLLM behind `serving.engine.protocol`.

Wire types in, wire types out. What vLLM calls things stays in this package.
"""
