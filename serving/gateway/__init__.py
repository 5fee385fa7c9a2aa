"""The gateway: text on one side, token streams of the fleet on the other.

Here: the public APIs, the record of every generation, the choice of a replica. Not here: engines,
models' weights, and any decision about which model is awake where. See README.md.
"""
