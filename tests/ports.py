"""Ports for servers that tests start: given as to benchmarks, never twice in one process."""

from benchmarks.ports import free_ports

__all__ = ["free_ports"]
