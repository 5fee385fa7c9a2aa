"""Dagster's code server as this project runs it: its runs are forked from a warm process."""
