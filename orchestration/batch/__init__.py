"""The engine of rows, and batches of the Batch API over it. Without Dagster.

Rows done are kept as they finish, so that a run that died costs only what was in flight. Assets,
jobs and sensors are elsewhere; so are datasets declared in YAML, which use the same engine.
"""
