"""Synchronous clients of the data plane's interfaces, for control plane and command line."""
