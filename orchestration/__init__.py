"""The control plane: Dagster decides what may be where, and records why."""
