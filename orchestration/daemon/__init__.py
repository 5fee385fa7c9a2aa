"""Dagster's daemon as this project runs it: it looks for due sensors several times a second."""
