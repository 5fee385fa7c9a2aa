"""A batch partition without Dagster: its prompts, its requests, its rows done.

Rows done are kept as they finish, so that a run that died costs only what was in flight.
"""
