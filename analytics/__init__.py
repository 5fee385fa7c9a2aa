"""The memory between the planes: one DuckDB database, served by one process.

The data plane appends events, the control plane reads statistics. Nothing here imports another
part of Turntable.
"""
