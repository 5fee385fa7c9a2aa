"""Measuring what an engine does at each batch size, and keeping the result. No Dagster here."""
