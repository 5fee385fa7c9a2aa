"""Dagster's code server as this project runs it.

Its runs are forked from a warm process, and its definitions follow the dataset files.
"""
